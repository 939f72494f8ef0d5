/* Counts calls of getppid(2), by process. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getppid")
int count(void *context)
{
	__u32 process = bpf_get_current_pid_tgid() >> 32;
	__u64 one = 1, *known = bpf_map_lookup_elem(&calls, &process);

	if (known)
		__sync_fetch_and_add(known, 1);
	else
		bpf_map_update_elem(&calls, &process, &one, BPF_ANY);
	return 0;
}

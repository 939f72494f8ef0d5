/* Elements of three gigabytes, which no kernel makes, whatever its memory. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__uint(value_size, 3000000000);
	__uint(max_entries, 8);
} wide SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getpgid")
int uses_map(void *context)
{
	__u32 key = 0;

	return !!bpf_map_lookup_elem(&wide, &key);
}

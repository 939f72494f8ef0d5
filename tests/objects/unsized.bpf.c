/* Maps that are left to their loader to size; with 0 entries no kernel makes them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
} by_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
} by_pid SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getpgid")
int counts(void *context)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&by_cpu, &key);

	if (count)
		++*count;
	bpf_map_lookup_elem(&by_pid, &key);
	bpf_ringbuf_output(&events, &key, sizeof(key), 0);
	return 0;
}

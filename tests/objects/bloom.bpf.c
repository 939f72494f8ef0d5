/* BPF_MAP_TYPE_BLOOM_FILTER: Linux 5.16 (9330986c0300). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__type(value, __u32);
	__uint(max_entries, 100);
} bloom SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getpgid")
int asks_bloom(void *context)
{
	__u32 value = 7;

	return bpf_map_peek_elem(&bloom, &value) == 0;
}

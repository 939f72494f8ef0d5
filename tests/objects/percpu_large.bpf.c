/* An element of an array for each processor has 32 KiB at most (PCPU_MIN_UNIT_SIZE). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__uint(value_size, 65536);
} large SEC(".maps");

SEC("socket")
int looks(void *context)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&large, &zero) != 0;
}

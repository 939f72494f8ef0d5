/* What the maps in it are, its own loader says; the object does not. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} outer SEC(".maps");

SEC("socket")
int looks(void *context)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&outer, &zero) != 0;
}

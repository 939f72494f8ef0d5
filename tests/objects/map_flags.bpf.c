/* Only arrays (and arenas) can be mapped: a hash with BPF_F_MMAPABLE is refused on every kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u32);
} mapped SEC(".maps");

SEC("socket")
int looks(void *context)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&mapped, &zero) != 0;
}

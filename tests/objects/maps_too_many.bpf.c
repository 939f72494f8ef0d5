/* Each of these maps has room in a guest of 512 MiB, and all of them together have not. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define MAP(name) struct { \
	__uint(type, BPF_MAP_TYPE_ARRAY); \
	__type(key, __u32); \
	__uint(value_size, 1024); \
	__uint(max_entries, 200 << 10); \
} name SEC(".maps")
MAP(first);
MAP(second);
MAP(third);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int uses_maps(void *context)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&first, &key) && bpf_map_lookup_elem(&second, &key) && bpf_map_lookup_elem(&third, &key);
}

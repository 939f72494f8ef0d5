/* No kernel has this type of map. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, 200);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} future SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getpgid")
int uses_future(void *context)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&future, &key) != NULL;
}

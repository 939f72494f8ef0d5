/* A gigabyte, which a guest of 512 MiB has not. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__uint(value_size, 1024);
	__uint(max_entries, 1 << 20);
} big SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getpgid")
int uses_map(void *context)
{
	__u32 key = 0;
	char *value = bpf_map_lookup_elem(&big, &key);

	return value ? *value : 0;
}

/* Ring buffers in an array, one a processor, whose sizes only the loader knows. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__type(key, __u32);
	__type(value, __u32);
} buffers SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getpgid")
int sends(void *context)
{
	__u32 key = 0;
	void *buffer = bpf_map_lookup_elem(&buffers, &key);

	if (buffer)
		bpf_ringbuf_output(buffer, &key, sizeof(key), 0);
	return 0;
}

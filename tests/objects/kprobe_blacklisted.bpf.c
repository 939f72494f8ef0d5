/* A kprobe must not be put on do_int3, which handles kprobes. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe/do_int3")
int on_int3(void *context)
{
	return 0;
}

/* bpf_override_return is for kprobes, whatever the kernel is built with. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tc")
int overrides(struct __sk_buff *context)
{
	return bpf_override_return((void *)context, 1);
}

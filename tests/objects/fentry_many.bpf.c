/* do_mmap has eight or nine arguments: trampolines on x86-64 carry six, and twelve since Linux 6.6 (473e3150e30a). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("fentry/do_mmap")
int on_mmap(void *context)
{
	return 0;
}

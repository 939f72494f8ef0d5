/* tp_btf/sys_enter has two arguments on every kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__u64 seen;

SEC("tp_btf/sys_enter")
int reads_third(__u64 *context)
{
	seen = context[2];
	return 0;
}

/* raw_tp/sys_enter has two arguments on every kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__u64 seen;

SEC("raw_tp/sys_enter")
int reads_eighth(struct bpf_raw_tracepoint_args *context)
{
	seen = context->args[7];
	return 0;
}

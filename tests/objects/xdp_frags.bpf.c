/* xdp.frags: Linux 5.18 (c2f2cdbeffda); before that the flag is refused, not the type. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("xdp.frags")
int passes(struct xdp_md *context)
{
	return XDP_PASS;
}

/* XDP through a link: Linux 5.9 (aa8d3a716b59). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("xdp")
int pass(struct xdp_md *context)
{
	return XDP_PASS;
}

/* tcx: Linux 6.6 (e420bed02507). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tcx/ingress")
int on_packet(struct __sk_buff *context)
{
	return -1;
}

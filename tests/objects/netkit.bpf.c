/* netkit: Linux 6.7 (35dfaad7188c). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("netkit/primary")
int on_packet(struct __sk_buff *context)
{
	return -1;
}

/* A verdict on a socket's data without a parser: Linux 5.13 (a7ba4558e69a). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("sk_skb/verdict")
int decides(struct __sk_buff *context)
{
	return 1;
}

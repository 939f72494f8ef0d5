/* An iterator over links: Linux 5.19 (9f8836128d73). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("iter/bpf_link")
int each(void *context)
{
	return 0;
}

/* br_forward is in the module bridge. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe/br_forward")
int on_forward(void *context)
{
	return 0;
}

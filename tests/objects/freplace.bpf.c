/* Replaces a function of another program, which only its own loader can name. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("freplace/f")
int replaces(void *context)
{
	return 0;
}

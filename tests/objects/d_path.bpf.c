/* bpf_d_path may be called where the kernel allows it only, and do_nanosleep is no such place. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("fentry/do_nanosleep")
int looks(__u64 *context)
{
	char name[32];

	return bpf_d_path((void *)context[0], name, sizeof(name));
}

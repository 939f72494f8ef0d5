/* The hook file_open has one argument on every kernel, and behind it stands what it returns. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__u64 seen;

SEC("lsm/file_open")
int reads_third(__u64 *context)
{
	seen = context[2];
	return 0;
}

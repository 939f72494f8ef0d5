/* vfs_create has had four or five arguments, and never six. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__u64 seen;

SEC("fentry/vfs_create")
int reads_sixth(__u64 *context)
{
	seen = context[5];
	return 0;
}

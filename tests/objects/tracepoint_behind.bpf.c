/* A tracepoint of a system call has far less than a hundred values on every kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__u64 seen;

SEC("tracepoint/syscalls/sys_enter_getpgid")
int reads_behind(__u64 *context)
{
	seen = context[100];
	return 0;
}

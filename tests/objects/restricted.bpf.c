/* A helper for programs under the GPL in one that is not: refused on every kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Proprietary";

SEC("tracepoint/syscalls/sys_enter_getpgid")
int traces(void *context)
{
	return bpf_trace_printk("x", 2);
}

/* No kernel has this tracepoint. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tracepoint/syscalls/sys_enter_bpfcompat")
int on_absent(void *context)
{
	return 0;
}

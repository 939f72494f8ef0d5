/* trace_clock_local is declared notrace on every kernel (kernel/trace/trace_clock.c). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe/trace_clock_local")
int on_notrace(void *context)
{
	return 0;
}

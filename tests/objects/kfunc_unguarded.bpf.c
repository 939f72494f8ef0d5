/* Declares a kfunc as weak, and calls it all the same. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern void bpfcompat_has_no_such_kfunc(void) __ksym __attribute__((weak));

SEC("tp_btf/sched_switch")
int unguarded(void *context)
{
	bpfcompat_has_no_such_kfunc();
	return 0;
}

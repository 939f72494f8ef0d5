/* Takes a kfunc where there is one, and does without where there is none: that is not missing. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern void bpfcompat_has_no_such_kfunc(void) __ksym __attribute__((weak));

SEC("tp_btf/sched_switch")
int guarded(void *context)
{
	if (bpfcompat_has_no_such_kfunc)
		bpfcompat_has_no_such_kfunc();
	return 0;
}

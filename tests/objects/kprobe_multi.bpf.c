/* kprobe.multi: Linux 5.18 (0dcac2725406), with CONFIG_FPROBE. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe.multi/do_nanosleep")
int on_many(void *context)
{
	return 0;
}

/* kprobe.session: Linux 6.10 (535a3692ba72). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe.session/do_nanosleep")
int on_nanosleep(void *context)
{
	return 0;
}

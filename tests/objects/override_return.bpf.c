/* bpf_override_return: Linux 4.16 with CONFIG_BPF_KPROBE_OVERRIDE. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe/__x64_sys_getpgid")
int overrides(void *context)
{
	bpf_override_return(context, -1);
	return 0;
}

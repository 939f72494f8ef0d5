/* Reads the kernel's configuration, which libbpf has to find in the guest. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern _Bool CONFIG_BPF_SYSCALL __kconfig;
int seen;

SEC("tracepoint/syscalls/sys_enter_getpgid")
int reads_option(void *context)
{
	if (CONFIG_BPF_SYSCALL)
		seen++;
	return 0;
}

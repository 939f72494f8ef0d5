/* A sleepable program on a system call: Linux 5.10 with CONFIG_FUNCTION_ERROR_INJECTION. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("fentry.s/__x64_sys_getpgid")
int sleeps(void *context)
{
	return 0;
}

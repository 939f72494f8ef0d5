/* fmod_ret on a system call: Linux 5.7 with CONFIG_FUNCTION_ERROR_INJECTION. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("fmod_ret/__x64_sys_getpgid")
int modifies(void *context)
{
	return 0;
}

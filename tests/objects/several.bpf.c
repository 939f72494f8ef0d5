/* Three programs, of which every verifier refuses the second. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tracepoint/syscalls/sys_enter_getpgid")
int first(void *context)
{
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpid")
int second(void *context)
{
	return *(int *)0x1234;
}

SEC("raw_tp/sys_enter")
int third(void *context)
{
	return 0;
}

/* Global functions return a scalar; what the verifier says of that is not its last line everywhere. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct pair {
	long a;
};

__attribute__((noinline)) struct pair *count(struct pair *of)
{
	asm volatile("" : "+r"(of));
	return of;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int calls_global(void *context)
{
	struct pair one = { 1 };

	return count(&one) != 0;
}

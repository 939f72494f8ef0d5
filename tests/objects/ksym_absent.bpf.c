/* A typed variable that no kernel has: libbpf finds that out, and no kernel is asked. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct rq;
extern const struct rq bpfcompat_has_no_such_variable __ksym;
const void *seen;

SEC("tracepoint/syscalls/sys_enter_getpgid")
int reads_absent(void *context)
{
	seen = &bpfcompat_has_no_such_variable;
	return 0;
}

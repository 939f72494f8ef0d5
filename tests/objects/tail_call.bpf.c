/* A program array that the object itself fills: its programs cannot be loaded one without the other. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

int callee(void *context);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, int(void *));
} calls SEC(".maps") = { .values = { [0] = (void *)&callee } };

SEC("tracepoint/syscalls/sys_enter_getpgid")
int callee(void *context)
{
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int caller(void *context)
{
	bpf_tail_call(context, &calls, 0);
	return 0;
}

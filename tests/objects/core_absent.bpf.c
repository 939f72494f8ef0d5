/* No kernel has this field. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

struct task_struct {
	int bpfcompat_has_no_such_field;
} __attribute__((preserve_access_index));

SEC("tracepoint/syscalls/sys_enter_getpgid")
int reads_absent(void *context)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, bpfcompat_has_no_such_field);
}

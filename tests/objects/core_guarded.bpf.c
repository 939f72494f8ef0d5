/* A field that no kernel has, read only where it exists: this is how CO-RE is meant to be used. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

struct task_struct {
	int pid;
	int bpfcompat_has_no_such_field;
} __attribute__((preserve_access_index));

SEC("tracepoint/syscalls/sys_enter_getpgid")
int reads_what_is_there(void *context)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (bpf_core_field_exists(task->bpfcompat_has_no_such_field))
		return BPF_CORE_READ(task, bpfcompat_has_no_such_field);
	return BPF_CORE_READ(task, pid) == 0;
}

/* A tracepoint program that sends one event a getpgid(2) call through a ring buffer (Linux 5.8). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct event {
	__u32 pid;
	__u32 magic;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

__u32 target_pid;

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_getpgid(void *context)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct event *event;

	if (pid != target_pid)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->pid = pid;
	event->magic = 0xb0bca7;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

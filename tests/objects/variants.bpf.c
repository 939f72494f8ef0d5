/* Two programs for one event, of which a loader takes the first that the kernel can do; bpf_loop came with Linux 5.17. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

static long add(__u32 index, void *sum)
{
	*(__u64 *)sum += index;
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int with_loop(void *context)
{
	static long (*const loop)(__u32, void *, void *, __u64) = (void *)181;
	__u64 sum = 0;

	loop(10, add, &sum, 0);
	return sum == 45;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int without_loop(void *context)
{
	return 0;
}

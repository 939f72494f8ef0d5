/* bpf_loop: Linux 5.17 (e6f2dd0f8067). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

static long add(__u32 index, void *sum)
{
	*(__u64 *)sum += index;
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int uses_bpf_loop(void *context)
{
	static long (*const loop)(__u32, void *, void *, __u64) = (void *)181;
	__u64 sum = 0;

	loop(10, add, &sum, 0);
	return sum == 45;
}

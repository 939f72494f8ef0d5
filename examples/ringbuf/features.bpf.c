/* One program for each feature that the loader can be asked to require; each is loaded alone. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

static long add(__u32 index, void *sum)
{
	*(__u64 *)sum += index;
	return 0;
}

/* bpf_loop: Linux 5.17 (e6f2dd0f8067). */
SEC("?tracepoint/syscalls/sys_enter_getpgid")
int require_bpf_loop(void *context)
{
	__u64 sum = 0;
	static long (*const loop)(__u32, void *, void *, __u64) = (void *)181;

	loop(10, add, &sum, 0);
	return sum == 45;
}

/* kprobe.multi: Linux 5.18 (0dcac2725406). */
SEC("?kprobe.multi/do_nanosleep")
int require_kprobe_multi(void *context)
{
	return 0;
}

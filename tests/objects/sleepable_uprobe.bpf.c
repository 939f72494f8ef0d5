/* Sleepable uprobes: Linux 6.0 (64ad7556c75b). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("uprobe.s//bin/bash:main")
int sleeps(void *context)
{
	return 0;
}

/* The guest has no such program, which is nothing of the kernel's. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("uprobe//usr/bin/bpfcompat-no-such-program:main")
int on_main(void *context)
{
	return 0;
}

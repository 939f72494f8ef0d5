/* uprobe.multi: Linux 6.6 (89ae89f53d20). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("uprobe.multi//bin/bash:main")
int on_main(void *context)
{
	return 0;
}

/* No kernel has this hook. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("lsm/bpfcompat_hook")
int on_absent(void *context)
{
	return 0;
}

/* No kernel and no module has this function. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe/bpfcompat_has_no_such_function")
int on_absent(void *context)
{
	return 0;
}

/* An option that no kernel has, and that is not declared weak. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern int CONFIG_BPFCOMPAT_NO_SUCH __kconfig;

int seen;

SEC("socket")
int reads(void *context)
{
	seen = CONFIG_BPFCOMPAT_NO_SUCH;
	return 0;
}

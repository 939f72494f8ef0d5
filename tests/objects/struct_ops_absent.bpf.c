/* No kernel has a struct_ops type of that name. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct bpfcompat_ops {
	int (*init)(void);
};

SEC("struct_ops/init")
int starts(void *context)
{
	return 0;
}

SEC(".struct_ops")
struct bpfcompat_ops operations = { .init = (void *)starts };

/* sched_ext: Linux 6.12 with CONFIG_SCHED_CLASS_EXT. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct sched_ext_ops {
	unsigned long long flags;
	char name[128];
};

SEC(".struct_ops.link")
struct sched_ext_ops operations = { .name = "bpfcompat" };

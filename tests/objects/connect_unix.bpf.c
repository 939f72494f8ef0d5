/* Programs for connect(2) of Unix sockets: Linux 6.7 (859051dd165e). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("cgroup/connect_unix")
int allows(void *context)
{
	return 1;
}

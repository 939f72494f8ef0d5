/* LSM programs of a cgroup: Linux 6.0 (69fd337a975c). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("lsm_cgroup/socket_bind")
int allows(void *context)
{
	return 1;
}

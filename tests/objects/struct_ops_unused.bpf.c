/* A struct_ops program that no map names: libbpf does not even ask a kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/init")
int unused(void *context)
{
	return 0;
}

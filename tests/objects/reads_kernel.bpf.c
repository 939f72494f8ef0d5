/* Reads the memory of the kernel, which a kernel that is locked down for confidentiality does not allow. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

long seen;

SEC("raw_tp/sys_enter")
int reads(void *context)
{
	bpf_probe_read_kernel(&seen, sizeof(seen), context);
	return 0;
}

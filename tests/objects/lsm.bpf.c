/* LSM programs: Linux 5.7 (fc611f47f218), with CONFIG_BPF_LSM, which Debian has set since its 5.11. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("lsm/file_open")
int on_file_open(void *context)
{
	return 0;
}

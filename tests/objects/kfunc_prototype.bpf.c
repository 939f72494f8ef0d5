/* bpf_rcu_read_lock takes nothing (Linux 6.2); libbpf compares what the object declares with the kernel's BTF. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern void bpf_rcu_read_lock(int, int) __ksym;

SEC("tp_btf/sched_switch")
int locks(void *context)
{
	bpf_rcu_read_lock(1, 2);
	return 0;
}

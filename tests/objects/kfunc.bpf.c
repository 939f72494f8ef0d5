/* bpf_rcu_read_lock, a function of the kernel's: Linux 6.2 (9bb00b2895cb). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

SEC("tp_btf/sched_switch")
int locks(void *context)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

/* A congestion control of three programs: struct_ops, Linux 5.6. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

typedef unsigned int u32;
struct sock;

struct tcp_congestion_ops {
	char name[16];
	u32 (*ssthresh)(struct sock *sk);
	u32 (*undo_cwnd)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
};

SEC("struct_ops/ssthresh")
int thresholds(__u64 *context)
{
	return 2;
}

SEC("struct_ops/undo_cwnd")
int undoes(__u64 *context)
{
	return 2;
}

SEC("struct_ops/cong_avoid")
int avoids(__u64 *context)
{
	return 0;
}

SEC(".struct_ops")
struct tcp_congestion_ops operations = {
	.name = "bpfcompat",
	.ssthresh = (void *)thresholds,
	.undo_cwnd = (void *)undoes,
	.cong_avoid = (void *)avoids,
};

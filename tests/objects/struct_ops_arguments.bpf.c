/* tcp_congestion_ops.ssthresh has one argument on every kernel; struct_ops is there since Linux 5.6. */
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

__u64 seen;

SEC("struct_ops/ssthresh")
int reads_third(__u64 *context)
{
	seen = context[2];
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
	.ssthresh = (void *)reads_third,
	.undo_cwnd = (void *)undoes,
	.cong_avoid = (void *)avoids,
};

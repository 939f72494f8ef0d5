/* bpf_timer_init: Linux 5.15 (b00628b1c7d5). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct with_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct with_timer);
} timers SEC(".maps");

SEC("tc")
int starts(struct __sk_buff *context)
{
	__u32 zero = 0;
	struct with_timer *one = bpf_map_lookup_elem(&timers, &zero);

	if (one)
		bpf_timer_init(&one->timer, &timers, 1);
	return 0;
}

/* Fixes for input devices as struct_ops: Linux 6.11 with CONFIG_HID_BPF, which Debian does not set for clouds. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct hid_bpf_ops {
	int hid_id;
};

SEC(".struct_ops.link")
struct hid_bpf_ops operations = { .hid_id = 1 };

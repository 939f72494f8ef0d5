/* One program for each way to attach that needs no help; all are there since Linux 5.9 at the latest. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define PROGRAM(section, name, result) \
	SEC(section) int name(void *context) { return result; }

PROGRAM("tracepoint/syscalls/sys_enter_getpgid", on_tracepoint, 0)
PROGRAM("raw_tp/sys_enter", on_raw_tracepoint, 0)
PROGRAM("tp_btf/sched_switch", on_btf_tracepoint, 0)
PROGRAM("kprobe/vfs_open", on_kprobe, 0)
PROGRAM("kretprobe/vfs_open", on_kretprobe, 0)
PROGRAM("ksyscall/getpgid", on_ksyscall, 0)
PROGRAM("fentry/vfs_open", on_fentry, 0)
PROGRAM("fexit/vfs_open", on_fexit, 0)
PROGRAM("uprobe//lib/x86_64-linux-gnu/libc.so.6:getpid", on_uprobe, 0)
PROGRAM("iter/task", on_iterator, 0)
PROGRAM("cgroup_skb/ingress", on_cgroup_ingress, 1)
PROGRAM("cgroup/connect4", on_connect, 1)
PROGRAM("sockops", on_sockops, 1)
PROGRAM("sk_lookup", on_lookup, 1)
PROGRAM("tc", on_traffic, 0)
PROGRAM("xdp", on_packet, XDP_PASS)
/* These say nothing of where to. */
PROGRAM("kprobe", without_target, 0)
PROGRAM("socket", on_socket, 0)

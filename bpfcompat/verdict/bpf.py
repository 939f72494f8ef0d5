"""The kernel's BPF interface by name and number (include/uapi/linux/bpf.h), and the first Linux release that has each."""

from __future__ import annotations

PROGRAM_TYPES = {
    0: ("unspec", ""), 1: ("socket_filter", "3.19"), 2: ("kprobe", "4.1"), 3: ("sched_cls", "4.1"), 4: ("sched_act", "4.1"),
    5: ("tracepoint", "4.7"), 6: ("xdp", "4.8"), 7: ("perf_event", "4.9"), 8: ("cgroup_skb", "4.10"),
    9: ("cgroup_sock", "4.10"), 10: ("lwt_in", "4.10"), 11: ("lwt_out", "4.10"), 12: ("lwt_xmit", "4.10"),
    13: ("sock_ops", "4.13"), 14: ("sk_skb", "4.14"), 15: ("cgroup_device", "4.15"), 16: ("sk_msg", "4.17"),
    17: ("raw_tracepoint", "4.17"), 18: ("cgroup_sock_addr", "4.17"), 19: ("lwt_seg6local", "4.18"),
    20: ("lirc_mode2", "4.18"), 21: ("sk_reuseport", "4.19"), 22: ("flow_dissector", "4.20"), 23: ("cgroup_sysctl", "5.2"),
    24: ("raw_tracepoint_writable", "5.2"), 25: ("cgroup_sockopt", "5.3"), 26: ("tracing", "5.5"), 27: ("struct_ops", "5.6"),
    28: ("ext", "5.6"), 29: ("lsm", "5.7"), 30: ("sk_lookup", "5.9"), 31: ("syscall", "5.14"), 32: ("netfilter", "6.4"),
}  # fmt: skip

MAP_TYPES = {
    1: ("hash", "3.19"), 2: ("array", "3.19"), 3: ("prog_array", "4.2"), 4: ("perf_event_array", "4.3"),
    5: ("percpu_hash", "4.6"), 6: ("percpu_array", "4.6"), 7: ("stack_trace", "4.6"), 8: ("cgroup_array", "4.8"),
    9: ("lru_hash", "4.10"), 10: ("lru_percpu_hash", "4.10"), 11: ("lpm_trie", "4.11"), 12: ("array_of_maps", "4.12"),
    13: ("hash_of_maps", "4.12"), 14: ("devmap", "4.14"), 15: ("sockmap", "4.14"), 16: ("cpumap", "4.15"), 17: ("xskmap", "4.18"),
    18: ("sockhash", "4.18"), 19: ("cgroup_storage", "4.19"), 20: ("reuseport_sockarray", "4.19"),
    21: ("percpu_cgroup_storage", "4.20"), 22: ("queue", "4.20"), 23: ("stack", "4.20"), 24: ("sk_storage", "5.2"),
    25: ("devmap_hash", "5.4"), 26: ("struct_ops", "5.6"), 27: ("ringbuf", "5.8"), 28: ("inode_storage", "5.10"),
    29: ("task_storage", "5.11"), 30: ("bloom_filter", "5.16"), 31: ("user_ringbuf", "6.1"), 32: ("cgrp_storage", "6.2"),
    33: ("arena", "6.9"),
}  # fmt: skip

ATTACH_TYPES = {
    24: ("fentry", "5.5"), 25: ("fexit", "5.5"), 26: ("fmod_ret", "5.7"), 27: ("lsm", "5.7"), 28: ("iter", "5.8"),
    33: ("xdp_devmap", "5.8"), 35: ("xdp_cpumap", "5.9"), 36: ("sk_lookup", "5.9"), 37: ("xdp through a link", "5.9"),
    38: ("sk_skb/verdict", "5.13"), 41: ("perf_event through a link", "5.15"), 42: ("kprobe.multi", "5.18"),
    43: ("lsm_cgroup", "6.0"), 44: ("struct_ops through a link", "6.4"), 45: ("netfilter", "6.4"), 46: ("tcx/ingress", "6.6"),
    47: ("tcx/egress", "6.6"), 48: ("uprobe.multi", "6.6"), 49: ("cgroup/connect_unix", "6.7"), 50: ("cgroup/sendmsg_unix", "6.7"),
    51: ("cgroup/recvmsg_unix", "6.7"), 52: ("cgroup/getpeername_unix", "6.7"), 53: ("cgroup/getsockname_unix", "6.7"),
    54: ("netkit/primary", "6.7"), 55: ("netkit/peer", "6.7"),
    56: ("kprobe.session", "6.10"), 57: ("uprobe.session", "6.13"),
}  # fmt: skip
"""Those that were added after most were there; loaders stumble over these."""

HELPERS = {
    4: ("bpf_probe_read", "4.1"), 36: ("bpf_probe_write_user", "4.8"), 45: ("bpf_probe_read_str", "4.11"),
    58: ("bpf_override_return", "4.16"), 112: ("bpf_probe_read_user", "5.5"), 114: ("bpf_probe_read_user_str", "5.5"),
    115: ("bpf_probe_read_kernel_str", "5.5"),
    113: ("bpf_probe_read_kernel", "5.5"), 130: ("bpf_ringbuf_output", "5.8"), 131: ("bpf_ringbuf_reserve", "5.8"),
    147: ("bpf_d_path", "5.10"), 148: ("bpf_copy_from_user", "5.10"), 156: ("bpf_task_storage_get", "5.11"),
    158: ("bpf_get_current_task_btf", "5.11"), 160: ("bpf_ktime_get_coarse_ns", "5.11"), 164: ("bpf_for_each_map_elem", "5.13"),
    165: ("bpf_snprintf", "5.13"), 166: ("bpf_sys_bpf", "5.14"), 169: ("bpf_timer_init", "5.15"), 170: ("bpf_timer_set_callback", "5.15"),
    173: ("bpf_get_func_ip", "5.15"),
    174: ("bpf_get_attach_cookie", "5.15"), 175: ("bpf_task_pt_regs", "5.15"), 176: ("bpf_get_branch_snapshot", "5.16"),
    177: ("bpf_trace_vprintk", "5.16"), 179: ("bpf_kallsyms_lookup_name", "5.16"), 180: ("bpf_find_vma", "5.17"),
    181: ("bpf_loop", "5.17"), 182: ("bpf_strncmp", "5.17"), 183: ("bpf_get_func_arg", "5.17"), 184: ("bpf_get_func_ret", "5.17"),
    185: ("bpf_get_func_arg_cnt", "5.17"), 191: ("bpf_copy_from_user_task", "5.18"), 194: ("bpf_kptr_xchg", "5.19"),
    195: ("bpf_map_lookup_percpu_elem", "5.19"), 197: ("bpf_dynptr_from_mem", "5.19"), 198: ("bpf_ringbuf_reserve_dynptr", "5.19"),
    208: ("bpf_ktime_get_tai_ns", "6.1"), 209: ("bpf_user_ringbuf_drain", "6.1"), 210: ("bpf_cgrp_storage_get", "6.2"),
}  # fmt: skip
"""Kernels print only the number of one that they do not know. There are no helpers after these: newer ones are kfuncs."""


LOCKED = {"integrity": frozenset({36}), "confidentiality": frozenset({4, 36, 45, 113, 115})}
"""Helpers that kernel_lockdown(7) forbids: bpf_probe_write_user, and those that read the kernel's memory."""

STRUCT_OPS = {
    "tcp_congestion_ops": ("5.6", ""), "hid_bpf_ops": ("6.11", "CONFIG_HID_BPF"), "sched_ext_ops": ("6.12", "CONFIG_SCHED_CLASS_EXT"),
    "Qdisc_ops": ("6.16", "CONFIG_NET_SCH_BPF"),
}  # fmt: skip
"""What programs of the type struct_ops can implement, the first Linux release that has it, and the option for it."""

EXPECTED = {
    9: 2, 13: 3, 14: 5, 15: 6, 16: 7, 17: 0, 18: 10, 20: 16, 22: 17, 23: 18, 25: 21, 29: 27, 30: 36, 6: 37, 21: 39, 32: 45,
}  # fmt: skip
"""The way to attach that goes with a program's type, where its section does not tell; the first of several."""

SECTIONS = {
    "cgroup_skb/ingress": (8, 0), "cgroup_skb/egress": (8, 1), "cgroup/sock_create": (9, 2), "cgroup/post_bind4": (9, 12),
    "cgroup/post_bind6": (9, 13), "cgroup/bind4": (18, 8), "cgroup/bind6": (18, 9), "cgroup/connect4": (18, 10),
    "cgroup/connect6": (18, 11), "cgroup/sendmsg4": (18, 14), "cgroup/sendmsg6": (18, 15), "cgroup/recvmsg4": (18, 19),
    "cgroup/recvmsg6": (18, 20), "cgroup/getsockopt": (25, 21), "cgroup/setsockopt": (25, 22), "sk_skb/stream_parser": (14, 4),
    "sk_skb/stream_verdict": (14, 5),
}  # fmt: skip
"""Names of libbpf's for a type and one of its several ways to attach, which a manifest's `type` may say, too."""

MAP_FLAGS = (
    "BPF_F_NO_PREALLOC", "BPF_F_NO_COMMON_LRU", "BPF_F_NUMA_NODE", "BPF_F_RDONLY", "BPF_F_WRONLY", "BPF_F_STACK_BUILD_ID",
    "BPF_F_ZERO_SEED", "BPF_F_RDONLY_PROG", "BPF_F_WRONLY_PROG", "BPF_F_CLONE", "BPF_F_MMAPABLE", "BPF_F_PRESERVE_ELEMS",
    "BPF_F_INNER_MAP", "BPF_F_LINK", "BPF_F_PATH_FD", "BPF_F_VTYPE_BTF_OBJ_FD", "BPF_F_TOKEN_FD", "BPF_F_SEGV_ON_FAULT",
    "BPF_F_NO_USER_CONV",
)  # fmt: skip
"""By their bits, the lowest first."""

POISONED_CALL = 195896080
"""0xbad2310: libbpf puts a call of this where a CO-RE relocation found no target."""


def number_of(table: dict[int, tuple[str, str]], name: str) -> int | None:
    """Return the number that a name has in one of the tables above."""
    return next((number for number, (known, _) in table.items() if known == name), None)


def flags(number: int) -> str:
    """Return the names of a map's flags, as one writes them in C; empty if there are none."""
    known = [name for bit, name in enumerate(MAP_FLAGS) if number & 1 << bit]
    rest = number & -1 << len(MAP_FLAGS)
    return " | ".join([*known, *([f"{rest:#x}"] if rest else [])])


def named(table: dict[int, tuple[str, str]], number: int, kind: str) -> str:
    """Return a number's name with the release that brought it: "bpf_loop (Linux 5.17)", or "helper 999"."""
    name, since = table.get(number, ("", ""))
    return f"{name} (Linux {since})" if since else name or f"{kind} {number}"

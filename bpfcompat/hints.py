"""What stderr and the kernel's log say in libbpf's and the verifier's own words, said plainly. A hint decides nothing."""

from __future__ import annotations

import re

from bpfcompat.model import Record, Status

_HELPERS = {
    130: ("bpf_ringbuf_output", "5.8"), 131: ("bpf_ringbuf_reserve", "5.8"), 148: ("bpf_copy_from_user", "5.10"),
    158: ("bpf_get_current_task_btf", "5.11"), 164: ("bpf_for_each_map_elem", "5.13"), 165: ("bpf_snprintf", "5.13"),
    169: ("bpf_timer_init", "5.15"), 173: ("bpf_get_func_ip", "5.15"), 174: ("bpf_get_attach_cookie", "5.15"),
    175: ("bpf_task_pt_regs", "5.15"), 177: ("bpf_trace_vprintk", "5.16"), 180: ("bpf_find_vma", "5.17"),
    181: ("bpf_loop", "5.17"), 182: ("bpf_strncmp", "5.17"), 183: ("bpf_get_func_arg", "5.17"),
    191: ("bpf_copy_from_user_task", "5.18"), 194: ("bpf_kptr_xchg", "5.19"), 197: ("bpf_dynptr_from_mem", "5.19"),
    209: ("bpf_user_ringbuf_drain", "6.1"), 210: ("bpf_cgrp_storage_get", "6.2"),
}  # fmt: skip
"""Numbers in include/uapi/linux/bpf.h, and the first release that has each: kernels print only the number of one that
they do not know."""

_STDERR = (
    (
        r"unknown func (bpf_\w+)#|program of this type cannot use helper (bpf_\w+)#",
        "On this kernel programs of this type may not call {0}.",
    ),
    (
        r"number of funcs in func_info doesn't match number of subprogs",
        "The program hands a function of its own to a helper (bpf_loop, bpf_for_each_map_elem, a timer), which Linux knows"
        " since 5.13.",
    ),
    (
        r"failed to find valid kernel BTF|kernel BTF is missing|[Ff]ailed to load vmlinux BTF",
        "This kernel has no BTF of its own (CONFIG_DEBUG_INFO_BTF), which CO-RE, fentry and LSM programs need.",
    ),
    (
        r"invalid CO-RE relocation|failed to resolve CO-RE relocation|(?:relo #\d+: no matching targets found)",
        "A type or field that the program reads is not on this kernel; guard it with bpf_core_field_exists().",
    ),
    (
        r"failed to find kernel BTF type ID of '([^'\n]+)'",
        "This kernel has no function or type {0} that a program could attach to: renamed, inlined, or newer.",
    ),
    (
        r"failed to determine tracepoint '([^'\n]+)' perf event ID: No such file",
        "This kernel has no tracepoint {0}.",
    ),
    (
        r"failed to create k(?:ret)?probe '([^'\n+]+)[^'\n]*' perf event: (?:No such file|Invalid argument)",
        "This kernel has no function {0} that a kprobe can be put on: renamed, inlined, or not traceable.",
    ),
    (
        r"map '([^'\n]+)': failed to create(?: map)?: (?:Invalid argument|-EINVAL|Operation not supported)",
        "The kernel refuses to make the map {0}: its type or flags may be newer than this kernel, or its size may be unset.",
    ),
    (
        r"prog '([^'\n]+)': failed to attach: (?:Operation not supported|Invalid argument)",
        "This kernel cannot attach the program {0} as asked: it is older than that way to attach, or was built without it"
        " (kprobe.multi: Linux 5.18 and CONFIG_FPROBE).",
    ),
    (
        r"BPF program is too large\. Processed \d+ insn|The sequence of \d+ jumps is too complex",
        "The verifier of this kernel gave up: the program is too complex for it, which newer ones may see otherwise.",
    ),
    (
        r"line \d+: ([^:\n]+): command not found",
        "The guest has bash, busybox, bpftool, ip and tc only; ship {0} with `binary:` or `files:`.",
    ),
)
_KERNEL_LOG = (
    (
        r"Lockdown: [^\n]*?: ([^\n;]+) is restricted",
        "The kernel is locked down, and refused this ({0}): see kernel_lockdown(7).",
    ),
)


def of(record: Record) -> tuple[str, ...]:
    """Return what the evidence of a record that did not pass suggests, in one sentence each; often nothing."""
    if record.verdict.status is Status.PASS:
        return ()
    found = [*_helpers(record.outcome.stderr.tail)]
    for text, rules in ((record.outcome.stderr.tail, _STDERR), (record.outcome.kernel_log, _KERNEL_LOG)):
        for pattern, sentence in rules:
            if match := re.search(pattern, text):
                found.append(sentence.format(*(part for part in match.groups() if part is not None)))
    return tuple(dict.fromkeys(found))


def _helpers(stderr: str) -> list[str]:
    numbers = (int(text) for text in re.findall(r"invalid func unknown#(\d{1,6})\b", stderr))
    return [
        "The program calls {}, which this kernel does not have; upstream has it since Linux {}.".format(
            *_HELPERS[number]
        )
        if number in _HELPERS
        else f"The program calls helper number {number}, which this kernel does not have."
        for number in dict.fromkeys(numbers)
    ]

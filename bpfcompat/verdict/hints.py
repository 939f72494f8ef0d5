"""What stderr and the kernel's log say in libbpf's and the verifier's own words, said plainly. A hint decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfcompat.model import Features, Record, Status
from bpfcompat.verdict import bpf, findings

_AT_MOST = 6
"""Names in one sentence: the oldest first, because what is not there at all is told by its release."""
_MAP_REFUSED = (
    r"map '([^'\n]+)': failed to create(?: map)?: (?:Invalid argument|-EINVAL|Operation not supported|-EOPNOTSUPP)"
)
_MEMLOCK = r"RLIMIT_MEMLOCK|MEMLOCK.*Operation not permitted"
_NOT_ATTACHED = r"prog '([^'\n]+)': failed to attach: (?:Operation not supported|-EOPNOTSUPP|Invalid argument|-EINVAL)"

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
        r"failed to find valid kernel BTF|kernel BTF is missing|no BTF found for kernel version|[Ff]ailed to load vmlinux BTF",
        "This kernel has no BTF of its own (CONFIG_DEBUG_INFO_BTF), which CO-RE, fentry and LSM programs need.",
    ),
    (
        r"(?:invalid|bad) CO-RE relocation|failed to resolve CO-RE relocation|(?:relo #\d+: no matching targets found)",
        "A type or field that the program reads is not on this kernel; guard it with bpf_core_field_exists().",
    ),
    (
        r"failed to find kernel BTF type ID of '([^'\n]+)'",
        "This kernel's BTF lists no function or type {0} that a program could attach to: it is in a module that is not loaded,"
        " renamed, inlined, or newer.",
    ),
    (
        r"failed to determine tracepoint '([^'\n]+)' perf event ID: (?:No such file|-ENOENT)",
        "This kernel has no tracepoint {0}.",
    ),
    (
        r"failed to create k(?:ret)?probe '([^'\n+]+)[^'\n]*' perf event: (?:No such file|-ENOENT|Invalid argument|-EINVAL)",
        "This kernel has no function {0} that a kprobe can be put on now: it is in a module that is not loaded, renamed, inlined,"
        " or not traceable.",
    ),
    (
        _MAP_REFUSED,
        "The kernel refuses to make the map {0}: its type or flags may be newer than this kernel, or its size may be unset.",
    ),
    (
        _NOT_ATTACHED,
        "This kernel cannot attach the program {0} as asked: it is older than that way to attach, or was built without it"
        " (kprobe.multi: Linux 5.18 and CONFIG_FPROBE).",
    ),
    (
        r"BPF program is too large\. Processed \d+ insn|The sequence of \d+ jumps is too complex",
        "The verifier of this kernel gave up: the program is too complex for it, which newer ones may see otherwise.",
    ),
    (
        r"failed to open system Kconfig",
        "libbpf found no configuration of the kernel in the guest (extern ... __kconfig): it did not come with this kernel.",
    ),
    (
        r"extern \(var ksym\) '([^'\n]+)': not found in kernel BTF",
        "This kernel's BTF has no variable {0} (ksym); declare it __weak and look whether it is there.",
    ),
    (
        r"extern \(func ksym\) '([^'\n]+)': not found",
        "This kernel does not offer {0} to BPF programs (kfunc), or it is in a module that is not loaded.",
    ),
    (
        r"extern \(func ksym\) '([^'\n]+)': func_proto \[\d+\] incompatible",
        "{0} (kfunc) takes other arguments on this kernel than the object says.",
    ),
    (
        r"struct_ops init_kern: struct (?:bpf_struct_ops_)?(\w+) is not found in kernel BTF",
        "This kernel has no {0} that a BPF program could implement (struct_ops): it is older, or was built without it.",
    ),
    (
        r"attach program FD is not set",
        "The program replaces a function of another one (freplace), and the loader has not said which: libbpf refuses that, not"
        " the kernel.",
    ),
    (
        r"bpfcompat: (of the modules that the guest is to have [^\n]+)",
        "The command was not run: {0}; what did not come with a kernel is not there, and what is built in need not be named.",
    ),
    (
        r"sudo: (?:command )?not found",
        "Commands run as root in a guest: leave `sudo` out.",
    ),
)
_NOT_FOUND = r"line \d+: ([^:\n]+): command not found"
_OUT_OF_MEMORY = (
    r"map '([^'\n]+)': failed to create(?: map)?: (?:Cannot allocate memory|-ENOMEM)|map create: cannot allocate memory"
)
_REFUSED_HELPER = r"(?:unknown func|program of this type cannot use helper) (bpf_\w+)#(\d+)"
_NO_COUNTERS = (
    r"(?i)(?:perf_event_open|hardware counter)[^\n]*(?:No such file|No such device|not supported|ENOENT|EOPNOTSUPP)"
)
_NO_FUNCTION = (
    r"failed to find kernel BTF type ID of '(\w+)'|extern \(func ksym\) '(\w+)': not found|"
    r"failed to create k(?:ret)?probe '(\w+)[^'\n]*' perf event: (?:No such file|-ENOENT)|"
    r"(?:kfunc|symbol) \"?(\w+)\"?: (?:kfunc )?not found"
)
_NO_HEADERS = r"chdir\(/lib/modules/[^)\n]+/build\): No such file|Unable to find kernel headers"
_NO_SPACE = r"No space left on device"
_LOCKED = r"\blockdown=(integrity|confidentiality)\b"
_KERNEL_LOG = (
    (
        r"Lockdown: [^\n]*?: ([^\n;]+) is restricted",
        "The kernel is locked down, and refused this ({0}): see kernel_lockdown(7).",
    ),
)


def of(record: Record, features: Features | None = None) -> tuple[str, ...]:
    """Return what the evidence of a record that did not pass suggests, in one sentence each; often nothing.

    features: what its kernel offers, if that is known.
    """
    if record.verdict.status is Status.PASS:
        return ()
    stderr = record.outcome.stderr.tail
    if record.outcome.findings is not None:
        # The validator looked at the kernel itself, and what it found stands in the reason: no words are guessed at.
        return tuple(dict.fromkeys(findings.hints(record.outcome.findings)))
    found = [*_helpers(stderr)]
    for text, rules in ((stderr, _STDERR), (record.outcome.kernel_log, _KERNEL_LOG)):
        for pattern, sentence in rules:
            if match := re.search(pattern, text):
                found.append(sentence.format(*(part for part in match.groups() if part is not None)))
    guest = list(_of_the_guest(record))
    if any("locked down" in hint for hint in (*found, *guest)):
        found = [hint for hint in found if "programs of this type may not call" not in hint]  # that is not why
    found += guest
    if features and needs_features(record):
        found += _lacking(stderr, features)
    return tuple(dict.fromkeys(found))


def _of_the_guest(record: Record) -> Iterator[str]:
    """Yield what is the guest's, or how the project set it up, and not the kernel's."""
    stderr, parts = record.outcome.stderr.tail, record.key_parts
    locked, refused = re.search(_LOCKED, parts.get("kernel command line", "")), re.search(_REFUSED_HELPER, stderr)
    if locked and refused and int(refused[2]) in bpf.LOCKED[locked[1]]:
        yield f"The kernel is locked down by its command line ({locked[0]}), and therefore refuses {refused[1]}: see kernel_lockdown(7)."
    if short := re.search(_OUT_OF_MEMORY, stderr):
        what, has = f"the map {short[1]}" if short[1] else "a map", parts.get("memory", 0)
        yield (
            f"The guest has not enough memory for {what}: it has {has} MiB; write `memory: {max(1, has // 256)}G` or more in the"
            " profile, or make the map smaller."
        )
    if parts.get("accelerator") == "tcg" and re.search(_NO_COUNTERS, stderr):
        yield (
            "An emulated machine has no hardware performance counters, whatever its kernel: if that is what perf_event_open asks"
            " for, count a software event, for instance PERF_COUNT_SW_CPU_CLOCK."
        )
    if re.search(_NO_HEADERS, stderr) and not parts.get("kernel headers"):
        yield (
            "The guest has no headers of its kernel, with which bcc compiles: write `headers: true` in the profile of an apt:"
            " kernel, or bring /lib/modules/RELEASE/build in guest.rootfs."
        )
    if re.search(_NO_SPACE, stderr) or record.outcome.out_of_memory is not None:
        has = parts.get("memory", 0)
        what = (
            "ran out of memory"
            if record.outcome.out_of_memory is not None
            else "has no room left: its files are in its memory"
        )
        yield f"The guest {what}, of which it has {has} MiB; write `memory: {max(1, has // 256)}G` or more in the profile."
    if (lacking := re.search(_NOT_FOUND, stderr)) and "sudo" not in lacking[1]:
        what = "The guest's root filesystem (guest.rootfs) has no" if parts.get("rootfs") else "The guest has no"
        yield f"{what} {lacking[1]}; ship it with `binary:`, `files:` or `guest: {{tools: [...]}}`."


def functions_not_found(stderr: str) -> tuple[str, ...]:
    """Return the kernel's functions that a loader says it did not find, in libbpf's words (0.4 to 1.7) or cilium/ebpf's."""
    found = [next(part for part in match.groups() if part) for match in re.finditer(_NO_FUNCTION, stderr)]
    return tuple(dict.fromkeys(found))


def needs_features(record: Record) -> bool:
    """Tell whether what its kernel offers would add to a record's hints; where the validator looked, it has looked better."""
    if record.verdict.status is Status.PASS or record.outcome.findings is not None:
        return False
    return any(re.search(pattern, record.outcome.stderr.tail) for pattern in (_MAP_REFUSED, _NOT_ATTACHED, _MEMLOCK))


def _helpers(stderr: str) -> list[str]:
    numbers = (int(text) for text in re.findall(r"invalid func unknown#(\d{1,6})\b", stderr))
    return [
        "The program calls {}, which this kernel does not have; upstream has it since Linux {}.".format(
            *bpf.HELPERS[number]
        )
        if number in bpf.HELPERS
        else f"The program calls helper number {number}, which this kernel does not have."
        for number in dict.fromkeys(numbers)
        if number != bpf.POISONED_CALL
    ]


def _lacking(stderr: str, features: Features) -> Iterator[str]:
    """Yield what a kernel does not offer of what its refusal may be about."""
    for pattern, table, has, what in (
        (_MAP_REFUSED, bpf.MAP_TYPES, features.map_types, "has no maps of the types"),
        (_NOT_ATTACHED, bpf.ATTACH_TYPES, features.attach_types, "does not know these ways to attach:"),
    ):
        missing = [bpf.named(table, number, "type") for number in sorted(table) if number not in has]
        if missing and re.search(pattern, stderr):
            more = f" and {len(missing) - _AT_MOST} newer ones" if len(missing) > _AT_MOST else ""
            yield f"This kernel {what} {', '.join(missing[:_AT_MOST])}{more}."
    if features.charges_memlock and re.search(_MEMLOCK, stderr):
        yield "This kernel charges BPF memory to RLIMIT_MEMLOCK (until Linux 5.11), which the loader may have lowered."

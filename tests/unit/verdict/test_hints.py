"""Hints, from what kernels and libbpf really printed."""

from dataclasses import replace

import pytest

from bpfcompat.model import Features, Stream
from bpfcompat.verdict import bpf, hints

from ..report.test_report import FAIL, PASS, target


def hinted(stderr="", log="", verdict=FAIL):
    record = target("a", verdict, stderr=stderr).record
    return hints.of(replace(record, outcome=replace(record.outcome, stderr=Stream(tail=stderr), kernel_log=log)))


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("0: (85) call unknown#181\ninvalid func unknown#181", "bpf_loop, which this kernel does not have; upstream has it since"),
        ("invalid func unknown#99999", "helper number 99999"),
        ("unknown func bpf_get_current_task#35", "may not call bpf_get_current_task"),
        ("program of this type cannot use helper bpf_probe_read_user#112", "may not call bpf_probe_read_user"),
        ("number of funcs in func_info doesn't match number of subprogs", "since 5.13"),
        ("libbpf: failed to find valid kernel BTF", "no BTF of its own"),
        ("libbpf: prog 'x': relo #0: no matching targets found", "bpf_core_field_exists"),
        ("libbpf: prog 'f': failed to find kernel BTF type ID of 'vfs_gone': -3", "no function or type vfs_gone"),
        ("libbpf: failed to determine tracepoint 'a/b' perf event ID: No such file or directory", "no tracepoint a/b"),
        ("libbpf: prog 'k': failed to create kprobe 'nope+0x0' perf event: No such file or directory", "no function nope"),
        ("libbpf: map 'm': failed to create: Invalid argument(-22)", "refuses to make the map m"),
        ("libbpf: prog 'p': failed to attach: -EOPNOTSUPP", "cannot attach the program p"),
        ("libbpf: prog 'k': failed to create kprobe 'nope+0x0' perf event: -ENOENT", "no function nope"),
        ("libbpf: prog 'p': failed to attach: Operation not supported", "cannot attach the program p"),
        ("BPF program is too large. Processed 1000001 insn", "too complex"),
        ("load program: bad CO-RE relocation: invalid func", "bpf_core_field_exists"),
        ("no BTF found for kernel version 5.10.0: not supported", "no BTF of its own"),
        ("libbpf: failed to open system Kconfig", "did not come with this kernel"),
        ("libbpf: extern (var ksym) 'bpf_x': not found in kernel BTF", "no variable bpf_x"),
        ("libbpf: extern (func ksym) 'bpf_f': not found in kernel or module BTFs", "does not offer bpf_f"),
        ("libbpf: extern (func ksym) 'f': func_proto [12] incompatible with vmlinux [34]", "f (kfunc) takes other arguments"),
        ("libbpf: struct_ops init_kern: struct sched_ext_ops is not found in kernel BTF", "no sched_ext_ops that"),
        ("libbpf: prog 'p': attach program FD is not set", "libbpf refuses that, not the kernel"),
        ("bash: line 1: sudo: command not found", "leave `sudo` out"),
        ("libbpf: map 'big': failed to create: Cannot allocate memory(-12)", "not enough memory for the map big"),
        ("chdir(/lib/modules/6.1.0-56-cloud-amd64/build): No such file or directory", "write `headers: true` in the profile"),
        ("bash: line 1: bpftool: command not found", "The guest has no bpftool; ship it"),
    ],
)  # fmt: skip
def test_a_failure_in_libbpf_s_own_words(stderr, words):
    (hint,) = hinted(stderr)
    assert words in hint


def test_a_lockdown_is_told_from_the_kernel_log():
    (hint,) = hinted(log="Lockdown: bpftool: use of bpf to read kernel RAM is restricted; see man kernel_lockdown.7")
    assert "use of bpf to read kernel RAM" in hint


def made_by(stderr, **parts):
    record = target("a", FAIL, stderr=stderr).record
    return hints.of(replace(record, key_parts=parts))


def test_what_is_the_guest_s_is_not_told_of_the_kernel():
    assert made_by("perf_event_open: No such file or directory", accelerator="kvm") == ()
    (hint,) = made_by("perf_event_open: No such file or directory", accelerator="tcg")
    assert "no hardware performance counters, whatever its kernel" in hint
    (hint,) = made_by("cp: write error: No space left on device", memory=1024)
    assert "its files are in its memory, of which it has 1024 MiB; write `memory: 4G`" in hint
    (hint,) = made_by("bash: line 1: strace: command not found", rootfs="a" * 64)
    assert hint.startswith("The guest's root filesystem (guest.rootfs) has no strace")
    told = made_by("unknown func bpf_probe_read#4", **{"kernel command line": "panic=-1 lockdown=confidentiality"})
    assert len(told) == 1
    assert "locked down by its command line (lockdown=confidentiality)" in told[0]
    assert hints.functions_not_found("libbpf: prog 'f': failed to find kernel BTF type ID of 'br_forward': -3") == (
        "br_forward",
    )


def test_nothing_is_said_of_what_passed_or_is_not_known():
    assert hinted("invalid func unknown#181", verdict=PASS) == ()
    assert hinted("Segmentation fault") == ()


def test_a_hint_is_told_once():
    assert len(hinted("invalid func unknown#181\n" * 20)) == 1


def test_what_the_kernel_does_not_offer_is_named_beside_what_it_refused():
    every = {name: frozenset(table) for name, table in (
        ("map_types", bpf.MAP_TYPES), ("program_types", bpf.PROGRAM_TYPES), ("attach_types", bpf.ATTACH_TYPES), ("helpers", bpf.HELPERS),
    )}  # fmt: skip
    old = Features(
        **{**every, "map_types": every["map_types"] - {30, 33}, "attach_types": frozenset()}, charges_memlock=True
    )
    refused = "libbpf: map 'm': failed to create: Invalid argument(-22)"
    record = target("a", FAIL, stderr=refused).record
    record = replace(record, outcome=replace(record.outcome, stderr=Stream(tail=refused)))
    assert "This kernel has no maps of the types bloom_filter (Linux 5.16), arena (Linux 6.9)." in hints.of(record, old)
    attached = "libbpf: prog 'p': failed to attach: Invalid argument"
    record = replace(record, outcome=replace(record.outcome, stderr=Stream(tail=attached)))
    (hint,) = (hint for hint in hints.of(record, old) if "ways to attach" in hint)
    assert hint.startswith("This kernel does not know these ways to attach: fentry (Linux 5.5), ")
    assert hint.endswith(f" and {len(bpf.ATTACH_TYPES) - 6} newer ones.")
    assert not any("This kernel has no maps" in hint for hint in hints.of(record, old))

"""Hints, from what kernels and libbpf really printed."""

from dataclasses import replace

import pytest

from bpfcompat import hints
from bpfcompat.model import Stream

from .test_report import FAIL, PASS, target


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
        ("libbpf: prog 'p': failed to attach: Operation not supported", "cannot attach the program p"),
        ("BPF program is too large. Processed 1000001 insn", "too complex"),
        ("bash: line 1: bpftool: command not found", "ship bpftool"),
    ],
)  # fmt: skip
def test_a_failure_in_libbpf_s_own_words(stderr, words):
    (hint,) = hinted(stderr)
    assert words in hint


def test_a_lockdown_is_told_from_the_kernel_log():
    (hint,) = hinted(log="Lockdown: bpftool: use of bpf to read kernel RAM is restricted; see man kernel_lockdown.7")
    assert "use of bpf to read kernel RAM" in hint


def test_nothing_is_said_of_what_passed_or_is_not_known():
    assert hinted("invalid func unknown#181", verdict=PASS) == ()
    assert hinted("Segmentation fault") == ()


def test_a_hint_is_told_once():
    assert len(hinted("invalid func unknown#181\n" * 20)) == 1

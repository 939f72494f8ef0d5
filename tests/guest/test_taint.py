"""What taints a kernel, by the number that it keeps and never by what stands in its log."""

import json
import subprocess
from pathlib import Path

import pytest

from bpfcompat.cli import main
from bpfcompat.model import Expectation
from bpfcompat.outcome import Classification, OutcomeKind, Status, Taint
from bpfcompat.report import output
from bpfcompat.verdict import taint

from .conftest import KERNELS

WARNED = "echo 512 > /proc/sys/kernel/tainted; exit 0"
SAYS = 'echo "WARNING: CPU: 0 PID: 1 at net/core/dev.c:1 foo+0x1/0x2" > /dev/kmsg; exit 0'
SPIN = """
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
static long turn(__u32 index, void *until) { return bpf_ktime_get_ns() > *(__u64 *)until; }
static long turns(__u32 index, void *until) { bpf_loop(1 << 20, turn, until, 0); return bpf_ktime_get_ns() > *(__u64 *)until; }
SEC("tc") int spin(struct __sk_buff *packet)
{
	__u64 until = bpf_ktime_get_ns() + 7000000000ull;
	bpf_loop(1 << 20, turns, &until, 0);
	return TC_ACT_OK;
}
"""
"""Holds a processor inside the kernel for seven seconds by its own clock, however fast it is."""


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_number_is_told_and_decides_only_where_that_is_asked(verdicts, kernel):
    told, silent = verdicts(WARNED, SAYS, kernels=(kernel,))
    assert [record.verdict.status for record in (told, silent)] == [Status.PASS] * 2
    assert told.outcome.taint.after == told.outcome.taint.before | 512
    assert taint.flags(told.outcome.taint) == ["W"]
    assert "tainted" in told.outcome.notes[0]
    assert silent.outcome.taint.after == silent.outcome.taint.before
    assert not any("taint" in note for note in silent.outcome.notes)
    assert told.outcome.splat == silent.outcome.splat == ""


def test_a_clean_kernel_can_be_asked_for(verdicts):
    tainted, said, failed = verdicts(
        WARNED, SAYS, WARNED.replace("exit 0", "exit 3"), expect=Expectation(kernel="clean")
    )
    assert (tainted.verdict.status, tainted.verdict.classification) == (Status.FAIL, Classification.KERNEL_TAINTED)
    assert "W (the kernel issued a warning)" in tainted.verdict.reason
    assert tainted.verdict.exit_code == 0
    assert said.verdict.status is Status.PASS
    assert failed.verdict.classification is Classification.COMMAND_VALIDATION_FAILURE


def test_a_command_cannot_hide_it(verdicts):
    hidden = "echo 512 > /proc/sys/kernel/tainted; echo 0 > /tmp/zero; mount --bind /tmp/zero /proc/sys/kernel/tainted; umount -l /proc"
    (record,) = verdicts(hidden, expect=Expectation(kernel="clean"))
    assert record.verdict.classification is Classification.KERNEL_TAINTED


@pytest.mark.slow
def test_it_is_told_of_a_command_that_never_ends(verdicts):
    (record,) = verdicts(f"{WARNED.partition(';')[0]}; sleep 1000", timeout=3)
    assert record.outcome.kind is OutcomeKind.TIMEOUT
    assert isinstance(record.outcome.taint, Taint)
    assert taint.flags(record.outcome.taint) == ["W"]


def test_a_real_splat_stands_in_every_output(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("spin.bpf.c").write_text(SPIN)
    include = f"/usr/include/{subprocess.check_output(['uname', '-m'], text=True).strip()}-linux-gnu"
    subprocess.run(
        ["clang", "-O2", "-g", "-target", "bpf", f"-I{include}", "-c", "spin.bpf.c", "-o", "spin.bpf.o"], check=True
    )
    command = (
        "echo 1 > /proc/sys/kernel/watchdog_thresh; head -c 64 /dev/zero > packet;"
        " bpftool prog load spin.bpf.o /sys/fs/bpf/spin && bpftool prog run pinned /sys/fs/bpf/spin data_in packet"
    )
    kernel = "{id: k, kernel: apt:bookworm/linux-image-cloud-amd64}"
    Path("bpfcompat.yaml").write_text(f"command: '{command}'\nfiles: [spin.bpf.o]\nmatrix: [{kernel}]\n")
    assert main(["run", "--out", "r.json"]) == 0, capsys.readouterr()
    report = json.loads(Path("r.json").read_text())
    (target,) = report["targets"]
    assert target["kernel_taint"]["flags"] == ["L"]
    assert "BUG: soft lockup" in target["kernel_taint"]["splat"].splitlines()[0]
    outputs = [output.render(report, name) for name in ("table", "markdown", "junit", "html")]
    for text in outputs:
        assert "L (a processor was stuck in the kernel (soft lockup))" in text
        assert "soft lockup - CPU#0 stuck for" in text

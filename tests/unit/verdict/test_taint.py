"""The number that a kernel keeps of what tainted it, in words; and the complaint that belongs to it."""

import pytest

from bpfcompat import verdict
from bpfcompat.model import Expectation
from bpfcompat.outcome import Classification, Outcome, OutcomeKind, Status, Taint
from bpfcompat.verdict import taint

# What Linux 6.1 prints for a WARN_ON(), shortened where it repeats itself.
WARNED = """\
[    2.100000] x: loading out-of-tree module taints kernel.
[    2.300000] ------------[ cut here ]------------
[    2.300100] WARNING: CPU: 0 PID: 77 at net/core/dev.c:1 foo+0x1/0x2
[    2.300200] Call Trace:
[    2.300300]  <TASK>
[    2.300400]  ? foo+0x1/0x2
[    2.300500]  </TASK>
[    2.300600] ---[ end trace 0000000000000000 ]---
[    2.400000] later
"""


@pytest.mark.parametrize(
    ("before", "after", "letters"),
    [
        (0, 0, []),
        (512, 512, []),
        (0, 512, ["W"]),
        (4096, 4096 | 512 | 128, ["D", "W"]),
        (512, 0, []),
        (0, 1 << 30, ["bit 30"]),
    ],
)
def test_what_came_is_told_by_the_kernels_own_letters(before, after, letters):
    found = Taint(before, after)
    assert taint.flags(found) == letters
    assert bool(taint.sentence(found)) == bool(letters)


def test_nothing_is_said_of_what_is_not_known():
    assert taint.flags(None) == []
    assert taint.sentence(None) == ""
    assert taint.splat(None, WARNED) == ""


def test_the_complaint_is_cut_out_of_the_log_whole():
    said = taint.splat(Taint(0, 512), WARNED).splitlines()
    assert said[0].endswith("[ cut here ]------------")
    assert said[-1].endswith("---[ end trace 0000000000000000 ]---")
    assert taint.splat(Taint(0, 4096), WARNED) == "", "no complaint belongs to a module from elsewhere"
    assert taint.splat(Taint(0, 512), "nothing") == ""


def test_the_number_decides_where_a_clean_kernel_is_asked_for():
    outcome = Outcome(OutcomeKind.ENDED, wait_status=0, taint=Taint(4096, 4096 | 512))
    assert verdict.decide(outcome, Expectation()).status is Status.PASS
    found = verdict.decide(outcome, Expectation(kernel="clean"))
    assert (found.status, found.classification) == (Status.FAIL, Classification.KERNEL_TAINTED)
    assert verdict.is_certain(found)
    said = Outcome(OutcomeKind.ENDED, wait_status=0, taint=Taint(512, 512), kernel_log=WARNED)
    assert verdict.decide(said, Expectation(kernel="clean")).status is Status.PASS

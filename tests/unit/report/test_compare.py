"""What two reports have in common, and what not."""

from dataclasses import replace

import pytest

from bpfcompat.outcome import Observed
from bpfcompat.report.compare import CHANGES, compare

from .test_report import FAIL, INFRA, PASS, run, seen, target

OTHER_EXIT = replace(FAIL, exit_code=9)
PANIC = replace(FAIL, classification=type(FAIL.classification).KERNEL_PANIC, exit_code=None)


def changes(base, head):
    return {change.name: change for change in compare(seen(run(*base)), seen(run(*head))).changes}


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (PASS, PASS, "unchanged"),
        (PASS, FAIL, "regressed"),
        (FAIL, PASS, "improved"),
        (FAIL, FAIL, "unchanged"),
        (FAIL, OTHER_EXIT, "exit_code_changed"),
        (FAIL, PANIC, "classification_changed"),
        (INFRA, FAIL, "verdict_gained"),
        (INFRA, PASS, "verdict_gained"),
        (PASS, INFRA, "verdict_lost"),
        (FAIL, INFRA, "verdict_lost"),
        (INFRA, INFRA, "unchanged"),
    ],
)
def test_a_row(before, after, change):
    assert changes([target("a", before)], [target("a", after)])["a"].change == change
    assert change in CHANGES


def on(row, release):
    outcome = replace(row.record.outcome, observed=Observed(release, "x86_64", "#1"))
    return replace(row, record=replace(row.record, outcome=outcome))


def test_another_kernel_is_told_beside_whatever_else_changed():
    same = changes([on(target("a", PASS), "6.1.0-1")], [on(target("a", PASS), "6.1.0-2")])["a"]
    worse = changes([on(target("a", PASS), "6.1.0-1")], [on(target("a", FAIL), "6.1.0-2")])["a"]
    assert (same.change, same.kernel_changed) == ("kernel_changed", True)
    assert (worse.change, worse.kernel_changed) == ("regressed", True)


def test_what_only_one_of_them_has():
    found = changes([target("a", PASS), target("b", PASS)], [target("c", FAIL), target("a", PASS)])
    assert [(name, change.change) for name, change in found.items()] == [
        ("c", "added"), ("a", "unchanged"), ("b", "removed"),
    ]  # fmt: skip


def test_what_counts_as_a_regression():
    before = run(target("a", PASS), target("b", PASS, required=False), target("c", PASS))
    known = target("c", FAIL)
    known = replace(known, job=replace(known.job, profile=replace(known.job.profile, expects_failure=True)))
    after = run(target("a", FAIL), target("b", FAIL, required=False), known)
    found = compare(seen(before), seen(after))
    assert [change.change for change in found.changes] == ["regressed"] * 3
    assert [change.name for change in found.regressed] == ["a"]
    assert compare(seen(after), seen(before)).regressed == ()

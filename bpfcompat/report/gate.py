"""The gate: which rows decide how a run ends. Every output takes its words from here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from bpfcompat.model import Classification, Run, Status, Target

LABELS = {
    "pass": "passed", "fail": "failed", "xfail": "failed as expected", "xpass": "passed unexpectedly",
    "infra_error": "without a verdict",
}  # fmt: skip
"""What a row can come to, and the words for a number of them."""

_KERNELS_AT_LEAST = 3
"""On fewer, the same failure may be chance."""


@dataclass(frozen=True)
class Summary:
    """What a whole run means."""

    status: Status
    notes: tuple[str, ...]
    counts: dict[str, int]

    @property
    def exit_code(self) -> int:
        """0 all required passed, 2 one failed, 1 one has no verdict and none failed."""
        return {Status.PASS: 0, Status.FAIL: 2, Status.INFRA_ERROR: 1}[self.status]


def summarize(run: Run) -> Summary:
    """Weigh a run: a certain failure of a required row outweighs a missing verdict, and optional rows decide nothing."""
    required = [target for target in run.targets if target.job.profile.required]
    statuses = {_weight(target) for target in required}
    status = (
        Status.FAIL
        if Status.FAIL in statuses
        else Status.INFRA_ERROR
        if Status.INFRA_ERROR in statuses
        else Status.PASS
    )
    return Summary(status, tuple(_notes(run, required)), _counts(run))


def label(target: Target) -> str:
    """Return a row's status as people read it."""
    return label_of(target.record.verdict.status, target.job.profile.expects_failure)


def label_of(status: Status, expects_failure: bool) -> str:
    """Return a status as people read it: a failure that is known is an xfail, and its absence an xpass."""
    if expects_failure and status is not Status.INFRA_ERROR:
        return {Status.PASS: "xpass", Status.FAIL: "xfail"}[status]
    return status.value


def _weight(target: Target) -> Status:
    if label(target) == "xfail":
        return Status.PASS
    # A loader that can run on no kernel says nothing about this one: a mistake of the build, not of the kernel.
    if target.record.verdict.classification is Classification.LOADER_NOT_RUNNABLE:
        return Status.INFRA_ERROR
    return target.record.verdict.status


def _notes(run: Run, required: list[Target]) -> list[str]:
    notes = []
    if not required:
        notes.append("No profile of this matrix is required, so nothing here can fail the run.")
    for target in run.targets:
        if not target.job.profile.required and target.record.verdict.status is not Status.PASS:
            notes.append(f"{target.job.name} is optional, so its {label(target)} does not count.")
        if label(target) == "xpass":
            notes.append(f"{target.job.name} passed, though a failure is expected: remove its `expect: fail`.")
    return [*notes, *_the_same_everywhere(run)]


def _the_same_everywhere(run: Run) -> Iterator[str]:
    """Yield a note for each check that fails in the same way on every kernel: then it is hardly the kernel that is to blame."""
    by_check: dict[str, list[Target]] = {}
    for target in run.targets:
        by_check.setdefault(target.job.check.name, []).append(target)
    for name, targets in by_check.items():
        if len(targets) < _KERNELS_AT_LEAST or any(one.record.verdict.status is not Status.FAIL for one in targets):
            continue
        ways = {(one.record.verdict.classification, _said(one)) for one in targets}
        if len(ways) == 1:
            what = f"{name} fails" if len(by_check) > 1 else "It fails"
            yield (
                f"{what} in the same way on each of the {len(targets)} kernels: look first at the program, at its"
                " expectation, and at what the guests have."
            )


def _said(target: Target) -> tuple[str, str]:
    """Return what is told about a failure, but for numbers, which differ from guest to guest, and for a command its last words."""
    told = (
        target.record.verdict.reason,
        target.record.outcome.stderr.tail if target.job.check.validation is None else "",
    )
    reason, last = (re.sub(r"[0-9]+", "N", text) for text in told)
    return reason, last


def _counts(run: Run) -> dict[str, int]:
    counts = Counter(label(target) for target in run.targets)
    return {
        "total": len(run.targets),
        **{name: counts[name] for name in LABELS},
        "required": sum(target.job.profile.required for target in run.targets),
        "cached": sum(target.record.cached for target in run.targets),
    }


def sentence(counts: dict[str, int]) -> str:
    """Return a run in one line."""
    parts = [f"{counts[name]} {words}" for name, words in LABELS.items() if counts[name]]
    ran = counts["total"] - counts["cached"]
    booted = (
        "nothing booted, every verdict was stored already"
        if not ran and counts["total"]
        else f"{ran} run, {counts['cached']} cached"
    )
    return f"{', '.join(parts)} ({booted})"

"""The gate: which rows decide how a run ends. Every output takes its words from here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bpfcompat.model import Classification, Run, Status, Target

LABELS = {
    "pass": "passed", "fail": "failed", "xfail": "failed as expected", "xpass": "passed unexpectedly",
    "infra_error": "without a verdict",
}  # fmt: skip
"""What a row can come to, and the words for a number of them."""


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
    return notes


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

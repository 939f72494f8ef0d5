"""The gate: which rows decide how a run ends. Every output takes its words from here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from bpfcompat.dataclass import dataclass
from bpfcompat.outcome import Classification, Run, Status, Target

LABELS = {
    "pass": "passed", "fail": "failed", "xfail": "failed as expected", "xpass": "passed unexpectedly",
    "infra_error": "without a verdict",
}  # fmt: skip
"""What a row can come to, and the words for a number of them."""

EXIT_CODES = {"pass": 0, "fail": 2, "error": 1}
"""By what report.json calls a run: all required passed, one failed, one has no verdict and none failed."""

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
        """As EXIT_CODES has it."""
        return EXIT_CODES[self._word]

    @property
    def _word(self) -> str:
        return "error" if self.status is Status.INFRA_ERROR else self.status.value

    def described(self) -> dict[str, Any]:
        """Return it as report.json has it."""
        return {"status": self._word, "notes": list(self.notes), "counts": self.counts}


@dataclass(frozen=True)
class Weighed:
    """What of a row is weighed."""

    name: str
    check: str
    required: bool
    status: Status
    label: str
    """The status as people read it (LABELS)."""
    classification: str
    said: tuple[str, ...]
    """Its reason; for a command the last that it said to stderr, or else to stdout, and what it told of its tests."""
    cached: bool


def summarize(run: Run) -> Summary:
    """Weigh a run."""
    return weigh([_weighed(target) for target in run.targets])


def _weighed(target: Target) -> Weighed:
    verdict, job = target.record.verdict, target.job
    outcome = target.record.outcome
    tests = [(test.name, test.status) for test in outcome.results]
    spoken = said(outcome.stderr.tail, outcome.stdout.tail, tests) if job.check.validation is None else ()
    code = verdict.classification.value if verdict.classification else ""
    return Weighed(
        job.name, job.check.name, job.profile.required, verdict.status, label(target), code, (verdict.reason, *spoken),
        target.record.cached,
    )  # fmt: skip


def said(stderr: str, stdout: str, tests: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Return what tells one failure of a command from another: its last words, and what became of its tests (name, status)."""
    return (stderr if stderr.strip() else stdout), "\n".join(" ".join(test) for test in tests)


def weigh(rows: list[Weighed]) -> Summary:
    """Weigh rows: a certain failure of a required row outweighs a missing verdict, and optional rows decide nothing."""
    required = [row for row in rows if row.required]
    statuses = {_weight(row) for row in required}
    status = (
        Status.FAIL
        if Status.FAIL in statuses
        else Status.INFRA_ERROR
        if Status.INFRA_ERROR in statuses
        else Status.PASS
    )
    return Summary(status, tuple(_notes(rows, required)), _counts(rows))


def label(target: Target) -> str:
    """Return a row's status as people read it."""
    return label_of(target.record.verdict.status, target.job.profile.expects_failure)


def label_of(status: Status, expects_failure: bool) -> str:
    """Return a status as people read it: a failure that is known is an xfail, and its absence an xpass."""
    if expects_failure and status is not Status.INFRA_ERROR:
        return {Status.PASS: "xpass", Status.FAIL: "xfail"}[status]
    return status.value


def _weight(row: Weighed) -> Status:
    if row.label == "xfail":
        return Status.PASS
    # A loader that can run on no kernel says nothing about this one: a mistake of the build, not of the kernel.
    if row.classification == Classification.LOADER_NOT_RUNNABLE.value:
        return Status.INFRA_ERROR
    return row.status


def _notes(rows: list[Weighed], required: list[Weighed]) -> list[str]:
    notes = []
    if not required:
        notes.append("No profile of this matrix is required, so nothing here can fail the run.")
    for row in rows:
        if not row.required and row.status is not Status.PASS:
            notes.append(f"{row.name} is optional, so its {row.label} does not count.")
        if row.label == "xpass":
            notes.append(f"{row.name} passed, though a failure is expected: remove its `expect: fail`.")
    return [*notes, *_the_same_everywhere(rows)]


def _the_same_everywhere(rows: list[Weighed]) -> Iterator[str]:
    """Yield a note for each check that fails in the same way on every kernel: then it is hardly the kernel that is to blame."""
    by_check: dict[str, list[Weighed]] = {}
    for row in rows:
        by_check.setdefault(row.check, []).append(row)
    for name, alike in by_check.items():
        if len(alike) < _KERNELS_AT_LEAST or any(row.status is not Status.FAIL for row in alike):
            continue
        # Numbers differ from guest to guest.
        if len({(row.classification, *(re.sub(r"[0-9]+", "N", text) for text in row.said)) for row in alike}) == 1:
            what = f"{name} fails" if len(by_check) > 1 else "It fails"
            yield (
                f"{what} in the same way on each of the {len(alike)} kernels: look first at the program, at its"
                " expectation, and at what the guests have."
            )


def _counts(rows: list[Weighed]) -> dict[str, int]:
    counts = Counter(row.label for row in rows)
    return {
        "total": len(rows),
        **{name: counts[name] for name in LABELS},
        "required": sum(row.required for row in rows),
        "cached": sum(row.cached for row in rows),
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

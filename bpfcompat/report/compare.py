"""Two reports side by side: what got worse, what got better, what merely changed. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bpfcompat.dataclass import dataclass
from bpfcompat.report.view import Report, Row

CHANGES = {
    "regressed": "passed before, and does not any more",
    "improved": "failed before, and passes now",
    "classification_changed": "fails for another reason",
    "exit_code_changed": "ends with another exit code or signal",
    "verdict_lost": "had a verdict before, and has none now",
    "verdict_gained": "had no verdict before, and has one now",
    "kernel_changed": "the same on another build of the kernel",
    "added": "only in the new report",
    "removed": "only in the old report",
    "unchanged": "the same",
}


@dataclass(frozen=True)
class Side:
    """What one report says about a row."""

    status: str
    ending: str
    classification: str
    kernel: str


@dataclass(frozen=True)
class Change:
    """What became of a row."""

    name: str
    required: bool
    change: str
    """One of CHANGES."""
    kernel_changed: bool
    base: Side | None
    head: Side | None


@dataclass(frozen=True)
class Comparison:
    """Two reports side by side."""

    base: str
    head: str
    """Run ids."""
    changes: tuple[Change, ...]

    @property
    def regressed(self) -> tuple[Change, ...]:
        """What got worse, of the rows that count: an optional profile, or a failure that is expected by now, does not."""
        return tuple(
            change
            for change in self.changes
            if change.change == "regressed" and change.required and change.head and change.head.status != "xfail"
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many rows came to each of CHANGES."""
        return {name: sum(change.change == name for change in self.changes) for name in CHANGES}

    def plain(self) -> dict[str, Any]:
        """Return the comparison as a JSON value."""
        return {
            "schema_version": "v0.1",
            **asdict(self),
            "summary": {"regressed": bool(self.regressed), "counts": self.counts},
        }


def compare(base: Report, head: Report) -> Comparison:
    """Compare two reports, row by row, in the order of the new one; what only the old one has comes last."""
    before, after = ({row.name: row for row in report.rows} for report in (base, head))
    changes = (_change(row, before.get(row.name), after.get(row.name)) for row in {**after, **before, **after}.values())
    return Comparison(base.run_id, head.run_id, tuple(changes))


def _change(newest: Row, base: Row | None, head: Row | None) -> Change:
    kernel_changed = bool(base and head and base.release and head.release and base.release != head.release)
    kind = _kind(base, head, kernel_changed)
    return Change(newest.name, newest.required, kind, kernel_changed, _side(base), _side(head))


def _side(row: Row | None) -> Side | None:
    return Side(row.label, row.ending, row.classification, row.release) if row else None


def _kind(base: Row | None, head: Row | None, kernel_changed: bool) -> str:
    if base is None or head is None:
        return "added" if base is None else "removed"
    old, new = base.status.value, head.status.value
    if old != new:
        return {
            ("pass", "fail"): "regressed",
            ("fail", "pass"): "improved",
        }.get((old, new), "verdict_lost" if new == "infra_error" else "verdict_gained")
    if base.classification != head.classification:
        return "classification_changed"
    if base.ending != head.ending:
        return "exit_code_changed"
    return "kernel_changed" if kernel_changed else "unchanged"

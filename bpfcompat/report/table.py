"""The terminal table: one row a job, then what stands behind each failure."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path

from bpfcompat.model import Run, Status, Target
from bpfcompat.report import gate

_TAIL_LINES = 10
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Make text from a guest safe for a terminal: no control characters but newline and tab, no direction overrides."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


_COLOURS = {"pass": "32", "fail": "31", "infra_error": "33", "xfail": "33", "xpass": "33"}


def _status(target: Target, colour: bool) -> str:
    label = gate.label(target)
    return f"\x1b[{_COLOURS[label]}m{label}\x1b[0m" if colour else label


def render(run: Run, now: datetime.datetime, colour: bool = False) -> str:
    """Return the table, the last lines of stderr of each row that did not pass, notes, and one line of summary.

    now: the time that ages are counted from, in UTC.
    """
    from tabulate import tabulate

    headers = ["profile", "kernel", "verdict", "exit", "seconds", "cached", "why"]
    grid = tabulate(
        [_row(target, now, colour) for target in run.targets],
        headers,
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left",) * 7,
    )
    summary = gate.summarize(run)
    blocks = _blocks([target for target in run.targets if target.record.verdict.status is not Status.PASS], run)
    notes = [f"note: {note}" for note in summary.notes]
    return "\n".join([grid, "", *(block for block in blocks if block), *notes, gate.sentence(run, summary)])


def line(target: Target, colour: bool = False) -> str:
    """Return one row on its own, for the moment in which it ends."""
    record = target.record
    cached = ", cached" if record.cached else ""
    why = f": {record.verdict.reason.splitlines()[0]}" if record.verdict.reason else ""
    return f"{target.job.name}  {_status(target, colour)} ({record.seconds:.2f} s{cached}){plain(_short(why))}"


def _row(target: Target, now: datetime.datetime, colour: bool) -> list[str]:
    record, verdict = target.record, target.record.verdict
    name = target.job.name if target.job.profile.required else f"{target.job.name} (optional)"
    release = record.outcome.observed.release if record.outcome.observed else "-"
    code = verdict.signal or ("-" if verdict.exit_code is None else str(verdict.exit_code))
    cached = _age(record.finished_at, now) if record.cached else "-"
    why = " ".join(verdict.reason.splitlines()[:1]) if verdict.reason else ""
    if verdict.classification and verdict.status is Status.INFRA_ERROR:
        why = f"{verdict.classification.value}: {why}"
    return [name, plain(release), _status(target, colour), code, f"{record.seconds:.2f}", cached, plain(_short(why))]


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."


def _age(finished: str, now: datetime.datetime) -> str:
    seconds = max(0, int((now - datetime.datetime.fromisoformat(finished.replace("Z", "+00:00"))).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _blocks(targets: list[Target], run: Run) -> list[str]:
    """Return what stands behind the rows that did not pass; rows of which the same is to be told share a block."""
    alike: dict[str, list[Target]] = {}
    for target in targets:
        alike.setdefault(_details(target, run.project.workdir), []).append(target)
    return [
        f"{', '.join(target.job.name for target in same)}: {_heading(same[0])}\n{details}"
        for details, same in alike.items()
    ]


def _heading(target: Target) -> str:
    classification = target.record.verdict.classification
    return f"{gate.label(target)}: {classification.value if classification else ''}"


def _details(target: Target, workdir: Path) -> str:
    record, verdict = target.record, target.record.verdict
    lines = []
    if "\n" in verdict.reason or len(verdict.reason) > 100:
        lines += [f"  {line}" for line in verdict.reason.splitlines()]
    lines += [f"  note: {note}" for note in record.outcome.notes if "\n" not in note]
    tail = record.outcome.stderr.tail.splitlines()[-_TAIL_LINES:]
    if tail:
        lines += ["  last lines of stderr:", *(f"    {line}" for line in tail)]
    if record.evidence:
        lines.append(f"  evidence: {os.path.relpath(workdir / record.evidence)}")
    return "".join(f"{plain(line)}\n" for line in lines)

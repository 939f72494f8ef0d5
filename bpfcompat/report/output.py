"""Writing and printing the reports of a run."""

from __future__ import annotations

import datetime
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bpfcompat import atomic
from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Run
from bpfcompat.report import document, progress, table


@dataclass(frozen=True)
class Wanted:
    """Which reports are wanted beside the table, and where."""

    json: Path | None = None
    """None means report.json in the work directory."""
    source: dict[str, str] = field(default_factory=dict)
    """What the user said about the artifact."""


def write(run: Run, wanted: Wanted) -> None:
    """Write report.json and print the table to stdout."""
    target = wanted.json or run.project.workdir / "report.json"
    report = document.render(run, {"json": str(target)}, wanted.source)
    sys.stdout.write(
        table.render(run, datetime.datetime.now(datetime.timezone.utc), progress.in_colour(sys.stdout))
        + f"\nreport: {target}\n"
    )
    sys.stdout.flush()
    try:
        atomic.write_json(target, report)
    except OSError as error:
        raise BpfcompatError(f"the report {target} cannot be written: {error.strerror}.") from error

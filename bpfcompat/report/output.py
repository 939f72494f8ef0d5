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
    markdown: Path | None = None
    source: dict[str, str] = field(default_factory=dict)
    """What the user said about the artifact."""


def write(run: Run, wanted: Wanted) -> None:
    """Write report.json and print the table to stdout."""
    target = wanted.json or run.project.workdir / "report.json"
    paths = {"json": str(target), **({"markdown": str(wanted.markdown)} if wanted.markdown else {})}
    report = document.render(run, paths, wanted.source)
    now = datetime.datetime.now(datetime.timezone.utc)
    sys.stdout.write(table.render(run, now, progress.in_colour(sys.stdout)) + f"\nreport: {target}\n")
    sys.stdout.flush()
    try:
        atomic.write_json(target, report)
        if wanted.markdown:
            from bpfcompat.report import markdown

            atomic.write(wanted.markdown, markdown.render(run).encode(errors="replace"))
    except OSError as error:
        raise BpfcompatError(f"the report cannot be written: {error.strerror}: {error.filename}.") from error

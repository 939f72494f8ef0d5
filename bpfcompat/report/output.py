"""Writing and printing the reports of a run."""

from __future__ import annotations

import datetime
import os
import sys
from dataclasses import field
from pathlib import Path
from typing import Any

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.outcome import Run
from bpfcompat.records import history
from bpfcompat.report import document, progress, table, view
from bpfcompat.system import atomic, destination

FORMATS = ("table", "json", "markdown", "junit", "html")
RENDERED = (*FORMATS, "annotations")
"""What `render` knows: annotations are for the terminal of a CI job, and no run writes them to a file."""
_PAGE_BYTES = 16 << 20
_LOG_BYTES = 64 << 10


@dataclass(frozen=True)
class Wanted:
    """Which reports are wanted beside the table, and where."""

    json: Path | None = None
    """None means report.json in the work directory."""
    markdown: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    source: dict[str, str] = field(default_factory=dict)
    """What the user said about the artifact."""

    def paths(self, workdir: Path) -> dict[str, Path]:
        """Return where each report goes, by its format."""
        found = {"json": self.json or workdir / "report.json", **{name: getattr(self, name) for name in FORMATS[2:]}}
        return {name: path for name, path in found.items() if path}


def write(run: Run, wanted: Wanted) -> None:
    """Print the table to stdout, write the reports, and add the run to the history; raises BpfcompatError.

    A history that cannot be written is told, and fails nothing.
    """
    workdir = run.project.workdir
    paths = wanted.paths(workdir)
    report = document.render(run, {name: str(path) for name, path in paths.items()}, wanted.source)
    sys.stdout.write(render(report, "table") + f"\nreport: {paths.get('html', paths['json'])}\n")
    sys.stdout.flush()
    text = render(report, "json")
    failures = []
    for name, path in paths.items():  # each of them, whatever becomes of the others
        try:
            destination.write(path, (text if name == "json" else render(report, name)).encode(errors="replace"))
        except OSError as error:
            failures.append(f"the report cannot be written: {error.strerror}: {path}.")
    try:
        history.append(workdir, report, text)
    except (BpfcompatError, OSError) as error:
        why = f"{error.filename}: {error.strerror}." if isinstance(error, OSError) else error
        sys.stderr.write(f"bpfcompat: this run is not in the history: {why}\n")
    if failures:
        raise BpfcompatError(" ".join(failures))


def render(report: dict[str, Any], name: str) -> str:
    """Return a report.json in one of RENDERED; as table for stdout."""
    if name == "json":
        return atomic.json_text(report)
    seen = view.read(report)
    if name == "table":
        return table.render(seen, datetime.datetime.now(datetime.timezone.utc), progress.in_colour(sys.stdout))
    if name == "markdown":
        from bpfcompat.report import markdown

        return markdown.render(seen)
    if name == "junit":
        from bpfcompat.report import junit

        return junit.render(seen)
    if name == "annotations":
        from bpfcompat.report import annotations

        return annotations.render(seen)
    from bpfcompat.report import html

    return html.render(seen, _logs(seen))


def _logs(report: view.Report) -> dict[str, dict[str, str]]:
    """Return what the page shows of the log files: all of them together stay below 16 MiB."""
    most = min(_LOG_BYTES, _PAGE_BYTES // (3 * max(1, len(report.rows))))
    return {row.name: {name: _both_ends(Path(path), most) for name, path in row.logs.items()} for row in report.rows}


def _both_ends(path: Path, most: int) -> str:
    """Return the text of a file, or its beginning and end; nothing if it is not there any more."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            data = file.read(most if size <= most else most // 2)
            if size > most:
                file.seek(-(most // 2), os.SEEK_END)
                data += b"\n[%d bytes of %s left out here]\n" % (size - most, os.fsencode(path.name)) + file.read()
            return data.decode(errors="replace")
    except OSError:
        return ""

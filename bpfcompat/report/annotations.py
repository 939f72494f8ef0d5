"""A report as workflow commands of GitHub's runners: each job that did not pass becomes an annotation of the run."""

from __future__ import annotations

from bpfcompat.report import junit
from bpfcompat.report.text import plain
from bpfcompat.report.view import Report, Row

_AT_MOST = 10
"""A step shows ten of each level (GitHub's limits); the eleventh would be lost without a word."""
_LEVELS = {"failure": "error", "error": "error", "skipped": "warning"}


def render(report: Report) -> str:
    """Return a line for each row that did not pass: an error where it counts, a warning where it is optional or expected."""
    lines: list[str] = []
    for level in ("error", "warning"):
        rows = [row for row in report.rows if _LEVELS.get(junit.outcome(row)) == level]
        lines += [_command(level, f"{row.label} on {row.name}", _text(row)) for row in rows[:_AT_MOST]]
        if len(rows) > _AT_MOST:
            lines[-1] = _command(
                level, "bpfcompat", f"{len(rows) - _AT_MOST + 1} more jobs did not pass: see the summary"
            )
    return "".join(f"{line}\n" for line in lines)


def _text(row: Row) -> str:
    return "\n".join([row.reason, *(f"hint: {hint}" for hint in row.hints)])


def _command(level: str, title: str, text: str) -> str:
    return f"::{level} title={_escape(title, also=':,')}::{_escape(text)}"


def _escape(text: str, also: str = "") -> str:
    """Return text as the runner reads it back: what would end a value is a percent code."""
    return "".join(f"%{ord(sign):02X}" if sign in f"%\r\n{also}" else sign for sign in plain(text))

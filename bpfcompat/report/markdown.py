"""A run as Markdown, for a pull request or the summary of a CI job."""

from __future__ import annotations

import re

from bpfcompat.model import Status
from bpfcompat.report.text import last_lines, plain
from bpfcompat.report.view import Report, Row

CHARACTERS_AT_MOST = 60_000
"""A comment of GitHub's holds 65,536."""
_TAIL_LINES = 20
_SYMBOLS = {"pass": "✅", "fail": "❌", "infra_error": "⚠️", "xfail": "☑️", "xpass": "❗"}
_SPECIAL = re.compile(r"[\\`*_\[\]<>#|&~$@]|:(?=\S)|(?<=www)\.|^[-+=]|(?<=\d)[.)](?=\s)", re.IGNORECASE)
"""Markup, HTML, cells, links, issue numbers, mentions, emoji; and what begins a list or a rule."""


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line: no markup, no HTML, no links, no mentions of anybody."""
    one_line = " ".join(plain(text).split())
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", one_line).replace("&#64;", "&#64;<!-- -->")


def block(text: str) -> str:
    """Return text as a code block that nothing in it can end."""
    content = plain(text)
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{content}\n{fence}"


def render(report: Report) -> str:
    """Return a report as GitHub's Markdown: the grid, then what stands behind each failure, as much as fits."""
    rows = _grid(report) if len(report.checks) > 1 else _rows(report)
    parts = [f"**bpfcompat**: {escape(report.sentence)}", _fitting(rows)]
    parts += [f"> {escape(note)}" for note in (*report.notes, *report.notes_of_passes())[:20]]
    room, left_out = CHARACTERS_AT_MOST - sum(len(part) + 2 for part in parts) - 200, 0
    for row in report.rows:
        if row.status is Status.PASS and not row.splat:
            continue
        details = _details(row)
        if len(details) + 2 > room:
            left_out += 1
            continue
        parts.append(details)
        room -= len(details) + 2
    if left_out:
        parts.append(f"{left_out} more are left out here for want of room; report.json has them.")
    return "\n\n".join(parts) + "\n"


def _fitting(rows: list[str]) -> str:
    """Return as many rows of a table as leave room for what follows."""
    kept, size = [], 0
    for row in rows:
        size += len(row) + 1
        if size > CHARACTERS_AT_MOST * 2 // 3:
            break
        kept.append(row)
    table = "\n".join(kept)
    return table if len(kept) == len(rows) else f"{table}\n\n{len(rows) - len(kept)} more rows are left out here."


def _word(row: Row) -> str:
    return f"{_SYMBOLS[row.label]} {row.label.replace('_', ' ')}"


def _rows(report: Report) -> list[str]:
    lines = ["| profile | kernel | verdict | exit | seconds | why |", "|---|---|---|---|--:|---|"]
    for row in report.rows:
        seconds = f"{row.seconds:.2f}{' (cached)' if row.cached else ''}"
        cells = [escape(row.title), escape(row.release), _word(row), row.ending, seconds, escape(row.reason[:300])]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _grid(report: Report) -> list[str]:
    """A row a kernel, a column a check."""
    checks = report.checks
    lines = [
        f"| profile | kernel | {' | '.join(escape(name) for name in checks)} |",
        "|---|---|" + "---|" * len(checks),
    ]
    for profile, cells in report.by_profile().items():
        first = next(iter(cells.values()))
        title = escape(profile if first.required else f"{profile} (optional)")
        release = escape(next((row.release for row in cells.values() if row.release), ""))
        words = [_word(cells[check]) if check in cells else "" for check in checks]
        lines.append(f"| {' | '.join([title, release, *words])} |")
    return lines


def _details(row: Row) -> str:
    what = row.classification or ("" if row.status is Status.PASS else row.label)
    heading = f"<summary>{_word(row)} {escape(row.name)}{': ' if what else ''}{escape(what)}</summary>"
    lines = ["<details>", heading, *(["", escape(row.reason)] if row.reason else [])]
    if points := [*(f"hint: {hint}" for hint in row.hints), *(note for note in row.notes if "\n" not in note)]:
        lines += ["", *(f"- {escape(point)}" for point in points)]
    if row.splat:
        lines += ["", "what the kernel said:", "", block(row.splat)]
    tails = (("stderr", row.tails["stderr"]), ("the kernel log", row.kernel_log))
    for what, text in tails if row.status is not Status.PASS else ():
        if text:
            lines += ["", f"last lines of {what}:", "", block(last_lines(text, _TAIL_LINES))]
    return "\n".join([*lines, "", "</details>"])

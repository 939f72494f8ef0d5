"""A run as Markdown, for a pull request or the summary of a CI job."""

from __future__ import annotations

import html
import re

from bpfcompat.outcome import Status
from bpfcompat.report import tests
from bpfcompat.report.text import last_lines, plain
from bpfcompat.report.view import Report, Row

CHARACTERS_AT_MOST = 60_000
"""A comment of GitHub's holds 65,536."""
_TAIL_LINES = 20
_SYMBOLS = {"pass": "✅", "fail": "❌", "infra_error": "⚠️", "xfail": "☑️", "xpass": "❗"}
_NEEDS_CODE = re.compile(r"[\\`*_\[\]<>#|&~$@]|://|\bwww\.|:\w+:", re.IGNORECASE)
"""Markup, HTML, cells, links, issue numbers, mentions, emoji; and the names of programs, which have an underscore."""
_MARKER = re.compile(r"[-+=]+|[0-9]+[.)]")
"""What begins a list or a rule where it begins a line."""
_WORD = re.compile(r"(?<!\S)(\(?)`([^`\s](?:[^`]*[^`\s])?)`([.,;:!?)]*)(?!\S)|(\S+)")
"""A code span of our own sentences between its brackets and commas, or else what stands between spaces."""


def escape(text: str, cell: bool = False) -> str:
    """Return text that Markdown shows as it is, on one line: what could be markup, a link or a mention stands in code spans.

    cell: of a table, where a bar ends the cell even in code.
    """
    words = _WORD.finditer(" ".join(plain(text).split()))
    return " ".join(_word_of(found, first=found.start() == 0, cell=cell) for found in words)


def _word_of(found: re.Match[str], first: bool, cell: bool) -> str:
    before, code, after, word = found.groups()
    if code is not None:
        return f"{before}{_code(code, cell)}{after}"
    if not _NEEDS_CODE.search(word) and not (first and _MARKER.fullmatch(word)):
        return str(word)
    core = word.rstrip(".,;:!?")
    opened, closed = core.count("("), core.count(")")
    if core.startswith("(") and (opened > closed or (opened == 1 and core.endswith(")"))):
        core = core[1:]
    if core.endswith(")") and core.count(")") > core.count("("):
        core = core[:-1]
    before, _, after = word.partition(core or word)
    return f"{before}{_code(core or word, cell)}{after}"


def _code(text: str, cell: bool) -> str:
    if cell and "|" in text:
        return f"<code>{''.join(one if one.isalnum() else f'&#{ord(one)};' for one in text)}</code>"
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{text}{space}{fence}"


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
    grids = tests.grids(report)
    for grid in grids:
        shown = [_fitting(_tests(grid), CHARACTERS_AT_MOST // 4 // len(grids))] if grid.to_look_at else []
        parts += [escape(grid.sentence), *shown]
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


def _tests(grid: tests.Grid) -> list[str]:
    """The tests inside a command that somebody should look at, a column a kernel."""
    lines = [
        f"| test | {' | '.join(escape(name, cell=True) for name in grid.profiles)} |",
        "|---|" + "---|" * len(grid.profiles),
    ]
    words = {name: f"{_SYMBOLS[name]} {name}" for name in ("pass", "fail")}
    for line in grid.to_look_at:
        cells = [words.get(cell, cell) for cell in line.cells]
        lines.append(f"| {escape(line.name[:200], cell=True)} | {' | '.join(cells)} |")
    return lines


def _fitting(rows: list[str], most: int = CHARACTERS_AT_MOST * 2 // 3) -> str:
    """Return as many rows of a table as leave room for what follows."""
    kept, size = [], 0
    for row in rows:
        size += len(row) + 1
        if size > most:
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
        texts = [escape(text, cell=True) for text in (row.title, row.release, row.reason[:300])]
        cells = [texts[0], texts[1], _word(row), row.ending, seconds, texts[2]]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _grid(report: Report) -> list[str]:
    """A row a kernel, a column a check."""
    checks = report.checks
    lines = [
        f"| profile | kernel | {' | '.join(escape(name, cell=True) for name in checks)} |",
        "|---|---|" + "---|" * len(checks),
    ]
    for profile, cells in report.by_profile().items():
        first = next(iter(cells.values()))
        title = escape(profile if first.required else f"{profile} (optional)", cell=True)
        release = escape(next((row.release for row in cells.values() if row.release), ""), cell=True)
        words = [_word(cells[check]) if check in cells else "" for check in checks]
        lines.append(f"| {' | '.join([title, release, *words])} |")
    return lines


def _details(row: Row) -> str:
    what = row.classification or ("" if row.status is Status.PASS else row.label)
    # In a line of HTML nothing is Markdown.
    heading = f"<summary>{_word(row)} {html.escape(row.name)}{': ' if what else ''}{html.escape(what)}</summary>"
    lines = ["<details>", heading, *(["", escape(row.reason)] if row.reason else [])]
    if points := [*(f"hint: {hint}" for hint in row.hints), *(note for note in row.notes if "\n" not in note)]:
        lines += ["", *(f"- {escape(point)}" for point in points)]
    if row.splat:
        lines += ["", "what the kernel said:", "", block(row.splat)]
    for what, text in row.last_words if row.status is not Status.PASS else ():
        lines += ["", f"last lines of {what}:", "", block(last_lines(text, _TAIL_LINES))]
    return "\n".join([*lines, "", "</details>"])

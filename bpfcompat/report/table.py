"""The terminal table: one row a kernel, then what stands behind each failure."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from bpfcompat.outcome import Status, Target
from bpfcompat.report import gate, tests
from bpfcompat.report.text import age, last_lines, plain, short
from bpfcompat.report.view import Report, Row

_TAIL_LINES = 10
_COLLECTED_AT_MOST = 5
_NOTES_AT_MOST = 10
_SPLAT_LINES = 12
_TESTS_AT_MOST = 20
_COLOURS = {"pass": "32", "fail": "31", "infra_error": "33", "xfail": "33", "xpass": "33"}


def _coloured(label: str, colour: bool) -> str:
    return f"\x1b[{_COLOURS[label]}m{label}\x1b[0m" if colour else label


def render(report: Report, now: datetime.datetime, colour: bool = False) -> str:
    """Return the table, the last lines of stderr of each row that did not pass, notes, and one line of summary.

    now: the time that ages are counted from, in UTC.
    """
    from tabulate import tabulate

    headers, rows = _grid(report, colour) if len(report.checks) > 1 else _rows(report, now, colour)
    grid = tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=("left",) * len(headers))
    blocks = _blocks([row for row in report.rows if row.status is not Status.PASS])
    notes = [
        *_notes(report),
        *_splats([row for row in report.rows if row.status is Status.PASS]),
        *(f"note: {note}" for note in report.notes),
    ]
    return "\n".join(
        [grid, "", *map(_tests, tests.grids(report)), *(block for block in blocks if block), *notes, report.sentence]
    )


def _tests(grid: tests.Grid) -> str:
    """Return the tests inside a command as far as somebody should look at them: those that do not agree, or fail everywhere."""
    from tabulate import tabulate

    shown = grid.to_look_at[:_TESTS_AT_MOST]
    lines = [plain(grid.sentence)]
    if shown:
        rows = [[plain(short(one.name)), *one.cells] for one in shown]
        lines.append(tabulate(rows, ["test", *grid.profiles], tablefmt="simple", disable_numparse=True))
    if more := len(grid.to_look_at) - len(shown):
        lines.append(f"[{more} more of these: see --html or --markdown]")
    return "\n".join([*lines, ""])


def line(target: Target, colour: bool = False) -> str:
    """Return one row on its own, for the moment in which it ends."""
    record = target.record
    cached = ", cached" if record.cached else ""
    why = f": {record.verdict.reason.splitlines()[0]}" if record.verdict.reason else ""
    label = _coloured(gate.label(target), colour)
    where = f" on {record.worker}" if record.worker and not record.cached else ""
    return f"{target.job.name}  {label} ({record.seconds:.2f} s{plain(where)}{cached}){plain(short(why))}"


def _rows(report: Report, now: datetime.datetime, colour: bool) -> tuple[list[str], list[list[str]]]:
    headers = ["profile", "kernel", "verdict", "exit", "seconds", "cached", "why"]
    rows = [_row(row, now, colour) for row in report.rows]
    if any(row.worker for row in report.rows):
        headers.insert(5, "worker")
        for cells, row in zip(rows, report.rows, strict=True):
            cells.insert(5, plain(row.worker) or "-")
    return headers, rows


def _row(row: Row, now: datetime.datetime, colour: bool) -> list[str]:
    cached = age(row.finished_at, now) if row.cached else "-"
    if row.imported_from:
        cached += f", from {plain(row.imported_from)}"
    why = short(row.reason)
    if row.status is Status.INFRA_ERROR:
        why = f"{row.classification}: {why}"
    release = plain(row.release) or "-"
    label = _coloured(row.label, colour)
    return [row.title, release, label, row.ending, f"{row.seconds:.2f}", cached, plain(short(why))]


def _grid(report: Report, colour: bool) -> tuple[list[str], list[list[str]]]:
    """A row a kernel, a column a check."""
    rows = []
    for name, cells in report.by_profile().items():
        first = next(iter(cells.values()))
        title = name if first.required else f"{name} (optional)"
        release = next((row.release for row in cells.values() if row.release), "-")
        words = [_cell(cells[check], colour) if check in cells else "" for check in report.checks]
        spent = sum(row.seconds for row in cells.values() if not row.cached)
        cached = sum(row.cached for row in cells.values())
        rows.append([title, plain(release), *words, f"{spent:.2f}", f"{cached} of {len(cells)}" if cached else "-"])
    return ["profile", "kernel", *report.checks, "seconds", "cached"], rows


def _cell(row: Row, colour: bool) -> str:
    ending = f" ({row.ending})" if row.status is Status.FAIL and row.ending != "-" else ""
    return f"{_coloured(row.label, colour)}{ending}"


def _blocks(rows: list[Row]) -> list[str]:
    """Return what stands behind the rows that did not pass; rows of which the same is to be told share a block."""
    alike: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        alike.setdefault((_details(row), row.label, row.classification), []).append(row)
    return [
        f"{', '.join(row.name for row in same)}: {label}: {classification}\n{details}{_evidence(same)}"
        for (details, label, classification), same in alike.items()
    ]


def _evidence(rows: list[Row]) -> str:
    """Return where the logs of rows are that share a block: those of the first, and how many more there are."""
    folders = [os.path.relpath(Path(row.logs["console"]).parent) for row in rows if row.logs]
    if not folders:
        return ""
    more = f" (and {len(folders) - 1} more, see report.json)" if len(folders) > 1 else ""
    return f"  evidence: {folders[0]}{more}\n{_collected(rows)}"


def _collected(rows: list[Row]) -> str:
    """Return where the files are that came out of the first of the rows that has any."""
    files = next(([*row.collected.values()] for row in rows if row.collected), [])
    lines = [f"  collected: {plain(os.path.relpath(path))}\n" for path in files[:_COLLECTED_AT_MOST]]
    more = len(files) - len(lines)
    return "".join([*lines, *([f"  collected: {more} more, see report.json\n"] if more else [])])


def _notes(report: Report) -> list[str]:
    """Return the notes of rows that passed."""
    told = [f"note: {plain(note)}" for note in report.notes_of_passes()]
    more = len(told) - _NOTES_AT_MOST
    return [*told[:_NOTES_AT_MOST], *([f"note: report.json has {more} more notes."] if more > 0 else [])]


def _splats(rows: list[Row]) -> list[str]:
    """Return what kernels said on which a command passed and tainted them all the same."""
    return [f"{row.name}: the kernel said:\n" + "\n".join(_splat(row, "  ")) for row in rows if row.splat]


def _splat(row: Row, indent: str) -> list[str]:
    lines = row.splat.splitlines()
    more = [f"[{len(lines) - _SPLAT_LINES} more lines]"] if len(lines) > _SPLAT_LINES else []
    return [f"{indent}{plain(text)}" for text in (*lines[:_SPLAT_LINES], *more)]


def _details(row: Row) -> str:
    lines = []
    if row.check or "\n" in row.reason or len(row.reason) > 100:
        lines += [f"  {text}" for text in row.reason.splitlines()]
    lines += [f"  hint: {hint}" for hint in row.hints]
    lines += [f"  note: {note}" for note in row.notes if "\n" not in note]
    if row.splat:
        lines += ["  the kernel said:", *_splat(row, "    ")]
    for what, text in row.last_words:
        lines += [f"  last lines of {what}:", *(f"    {one}" for one in last_lines(text, _TAIL_LINES).splitlines())]
    return "".join(f"{plain(text)}\n" for text in lines)

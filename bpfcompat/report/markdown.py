"""A run as Markdown, for a pull request or the summary of a CI job."""

from __future__ import annotations

import re

from bpfcompat.model import Run, Status, Target
from bpfcompat.report import gate
from bpfcompat.report.table import plain

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


def render(run: Run) -> str:
    """Return a run as GitHub's Markdown: the grid, then what stands behind each failure, as much as fits."""
    summary = gate.summarize(run)
    several = len(run.project.checks) > 1
    rows = _grid(run) if several else _rows(run)
    parts = [f"**bpfcompat**: {escape(gate.sentence(run, summary))}", _fitting(rows)]
    parts += [f"> {escape(note)}" for note in summary.notes[:20]]
    room, left_out = CHARACTERS_AT_MOST - sum(len(part) + 2 for part in parts) - 200, 0
    for target in run.targets:
        if target.record.verdict.status is Status.PASS:
            continue
        details = _details(target)
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


def _word(target: Target) -> str:
    label = gate.label(target)
    return f"{_SYMBOLS[label]} {label.replace('_', ' ')}"


def _name(target: Target) -> str:
    profile = target.job.profile
    return escape(profile.id) + ("" if profile.required else " (optional)")


def _rows(run: Run) -> list[str]:
    lines = ["| profile | kernel | verdict | seconds | why |", "|---|---|---|--:|---|"]
    for target in run.targets:
        record = target.record
        release = escape(record.outcome.observed.release) if record.outcome.observed else ""
        seconds = f"{record.seconds:.2f}{' (cached)' if record.cached else ''}"
        why = escape(record.verdict.reason[:300])
        lines.append(f"| {_name(target)} | {release} | {_word(target)} | {seconds} | {why} |")
    return lines


def _grid(run: Run) -> list[str]:
    """A row a kernel, a column a check."""
    checks = [check.name for check in run.project.checks]
    lines = [f"| profile | {' | '.join(escape(name) for name in checks)} |", "|---|" + "---|" * len(checks)]
    rows: dict[str, dict[str, str]] = {}
    for target in run.targets:
        rows.setdefault(_name(target), {})[target.job.check.name] = _word(target)
    lines += [f"| {name} | {' | '.join(words.get(check, '') for check in checks)} |" for name, words in rows.items()]
    return lines


def _details(target: Target) -> str:
    record, verdict = target.record, target.record.verdict
    classification = verdict.classification.value if verdict.classification else gate.label(target)
    heading = f"<summary>{_word(target)} {escape(target.job.name)}: {escape(classification)}</summary>"
    lines = ["<details>", heading, "", escape(verdict.reason)]
    lines += [f"- {escape(note)}" for note in record.outcome.notes if "\n" not in note]
    tail = "\n".join(record.outcome.stderr.tail.splitlines()[-_TAIL_LINES:])
    if tail:
        lines += ["", "last lines of stderr:", "", block(tail)]
    return "\n".join([*lines, "", "</details>"])

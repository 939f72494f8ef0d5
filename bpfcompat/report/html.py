"""A report as one HTML page that needs no network and runs no script."""

from __future__ import annotations

from collections.abc import Mapping

from bpfcompat.report import tests
from bpfcompat.report.gate import LABELS
from bpfcompat.report.text import plain
from bpfcompat.report.view import STREAMS, Report, Row

_SYMBOLS = {"pass": "✓", "fail": "✗", "infra_error": "?", "xfail": "⊘", "xpass": "!"}
"""Beside a colour and a word, never instead."""

Logs = Mapping[str, Mapping[str, str]]
"""Texts by a row's name and a stream's."""


def render(report: Report, logs: Logs) -> str:
    """Return a report as a page: the grid of kernels and checks, and for each cell its evidence.

    logs: what the rows' log files hold, as much of it as the page is to show; where there is none, the tails are shown.
    """
    import jinja2

    # Autoescape, and a policy in the page that forbids every script: what a guest prints stays text, twice over.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bpfcompat.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,  # not Markup: it is done already
    )
    longest = max((row.seconds for row in report.rows), default=0.0) or 1.0
    return environment.get_template("page.html.j2").render(
        report=report,
        grid=report.by_profile(),
        tests=tests.grids(report),
        several=len(report.checks) > 1,
        used=[label for label in LABELS if report.counts.get(label)],
        symbols=_SYMBOLS,
        anchors={row.name: f"row-{number}" for number, row in enumerate(report.rows, 1)},
        open=[row for row in report.rows if row.label in {"fail", "infra_error"}],
        share=lambda row: max(1, round(100 * row.seconds / longest)),
        streams=lambda row: _streams(row, logs.get(row.name, {})),
    )


def _streams(row: Row, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the heading and the text of each stream that holds anything."""
    headings = {"stderr": "stderr", "stdout": "stdout", "console": "kernel console"}
    shown = [(headings[name], texts.get(name) or row.tails[name]) for name in STREAMS]
    return [(heading, text) for heading, text in shown if text.strip()]

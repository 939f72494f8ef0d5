"""The grid as a picture, and its explanation as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from bench.suites import outcome
from bench.suites.build import MODULE, VERSION
from bench.suites.outcome import Cell, Reason

_LEFT, _TOP, _WIDE, _HIGH = 210, 64, 150, 24
_COLOURS = {"pass": ("#d7f0dd", "#14532d"), "fail": ("#fbd5d5", "#7f1d1d"), "infra_error": ("#e5e7eb", "#374151")}


def svg(found: Sequence[Cell], known: Sequence[Reason], releases: Mapping[str, str]) -> str:
    """Draw it.

    releases: by the kernel's id, as `uname -r` says it.
    """
    kernels, packages = list(dict.fromkeys(c.kernel for c in found)), list(dict.fromkeys(c.package for c in found))
    width, height = _LEFT + _WIDE * len(kernels) + 16, _TOP + _HIGH * len(packages) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="16" y="24" font-size="15" font-weight="bold">{MODULE} {VERSION}: its own tests, by package and kernel</text>',
    ]
    for column, kernel in enumerate(kernels):
        x = _LEFT + _WIDE * (column + 0.5)
        parts.append(f'<text x="{x}" y="{_TOP - 18}" text-anchor="middle" font-weight="bold">{escape(kernel)}</text>')
        release = escape(releases.get(kernel, ""))
        parts.append(f'<text x="{x}" y="{_TOP - 5}" text-anchor="middle" font-size="9" fill="#555">{release}</text>')
    by = {(cell.package, cell.kernel): cell for cell in found}
    for row, package in enumerate(packages):
        y = _TOP + _HIGH * row
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(package)}</text>')
        for column, kernel in enumerate(kernels):
            parts += _square(by[package, kernel], known, _LEFT + _WIDE * column, y)
    parts.append(
        f'<text x="16" y="{height - 14}" fill="#555">tests passed; in red cells those that failed, and in brackets the numbers of'
        " the reasons below</text>"
    )
    return "\n".join([*parts, "</svg>", ""])


def _square(cell: Cell, known: Sequence[Reason], x: int, y: int) -> list[str]:
    fill, ink = _COLOURS[cell.status]
    numbers = ",".join(str(number) for number in outcome.of(cell, known))
    text = f"{cell.passed}" if cell.status == "pass" else "no verdict"
    if cell.status == "fail":
        text = f"{cell.passed}, {len(cell.failed)} failed ({numbers or '?'})"
    return [
        f'<rect x="{x + 1}" y="{y + 1}" width="{_WIDE - 2}" height="{_HIGH - 2}" rx="3" fill="{fill}"/>',
        f'<text x="{x + _WIDE // 2}" y="{y + 16}" text-anchor="middle" fill="{ink}">{text}</text>',
    ]


def page(found: Sequence[Cell], known: Sequence[Reason]) -> str:
    """Explain it, cell by cell."""
    kernels = list(dict.fromkeys(cell.kernel for cell in found))
    counted = {what: sum(cell.status == what for cell in found) for what in ("pass", "fail", "infra_error")}
    lines = [
        "# A peer's suites on five kernels",
        "",
        f"`./dev peers` builds the tests of {MODULE} {VERSION}, a library whose tests ask the kernel much of what loaders ask,",
        "runs each package on each kernel as a check of one project (two processors, 2 GiB), and wrote this page and the picture",
        f"from what happened: {counted['pass']} of {len(found)} cells pass, {counted['fail']} fail,"
        f" {counted['infra_error']} have no verdict.",
        "It ends with an error if a test fails that is not explained here, or if one that is explained passes. Not among them are",
        "the packages below `cmd/`, whose tests compile programs and ask no kernel.",
        "",
        "![packages by kernels](images/suites.svg)",
        "",
        "What fails, and why: of each it is said whether it is the kernel's truth, or something of the guest's that a test did not expect.",
        "",
    ]
    for number, reason in enumerate(known, 1):
        on = "every kernel" if list(reason.kernels) == kernels else ", ".join(reason.kernels)
        tests = "; ".join(f"`{package}`: {_names(found, reason, package)}" for package in dict(reason.tests))
        lines.append(f"{number}. **{on}**: {reason.why} ({tests})")
    return "\n".join([*lines, ""])


def _names(found: Sequence[Cell], reason: Reason, package: str) -> str:
    failed = {test for cell in found if cell.package == package for test in cell.failed if reason.covers(cell, test)}
    return ", ".join(f"`{name}`" for name in sorted(failed)) or "none in this run"

"""The tests inside a command, kernel by kernel: those that do not agree first, then those that fail everywhere."""

from __future__ import annotations

from bpfcompat.dataclass import dataclass
from bpfcompat.report.view import Report, Row

NOT_RUN = "-"


@dataclass(frozen=True)
class Line:
    """One test on all kernels."""

    name: str
    cells: tuple[str, ...]
    """pass, fail, skipped or NOT_RUN, in the order of the grid's kernels."""

    @property
    def rank(self) -> int:
        """What people look at first: 0 does not agree and fails somewhere, 1 does not agree, 2 fails, 3 passes, 4 is skipped everywhere."""
        ways = set(self.cells)
        if len(ways) > 1:
            return 0 if "fail" in ways else 1
        return {"fail": 2, "pass": 3}.get(self.cells[0], 4)


@dataclass(frozen=True)
class Grid:
    """The tests of one check: a line a test, a column a kernel that told of any."""

    check: str
    profiles: tuple[str, ...]
    silent: tuple[str, ...]
    """The kernels on which the command told of no test."""
    lines: tuple[Line, ...]
    """Those first that people look at first, else in the order in which they ran."""

    @property
    def to_look_at(self) -> tuple[Line, ...]:
        """The lines that do not agree, or fail everywhere."""
        return tuple(line for line in self.lines if line.rank < 3)

    @property
    def sentence(self) -> str:
        """The grid in one line."""
        ranks = [line.rank for line in self.lines]
        counts = [ranks.count(0) + ranks.count(1), *map(ranks.count, (2, 3, 4))]
        everywhere = " everywhere" if len(self.profiles) > 1 else ""
        words = [
            ("does not agree", "do not agree"),
            ("fails", "fail"),
            ("passes", "pass"),
            ("is skipped", "are skipped"),
        ]
        tails = [" between kernels", *[everywhere] * 3]
        parts = [
            f"{n} {one if n == 1 else many}{tail}"
            for n, (one, many), tail in zip(counts, words, tails, strict=True)
            if n
        ]
        name = f"tests of {self.check}" if self.check else "tests"
        kernels = f"{len(self.profiles)} kernel{'s' if len(self.profiles) != 1 else ''}"
        none = f"; none told on {', '.join(self.silent)}" if self.silent else ""
        return f"{name}: {len(self.lines)} on {kernels}: {', '.join(parts)}{none}"


def grids(report: Report) -> list[Grid]:
    """Return the grid of each check that told of tests."""
    found = []
    for check in report.checks:
        rows = [row for row in report.rows if row.check == check]
        if any(row.tests for row in rows):
            found.append(_grid(check, rows))
    return found


def _grid(check: str, rows: list[Row]) -> Grid:
    telling = [row for row in rows if row.tests]
    told = [{test.name: test.status for test in row.tests} for row in telling]
    names = dict.fromkeys(name for tests in told for name in tests)
    lines = (Line(name, tuple(tests.get(name, NOT_RUN) for tests in told)) for name in names)
    silent = tuple(row.profile for row in rows if not row.tests)
    return Grid(check, tuple(row.profile for row in telling), silent, tuple(sorted(lines, key=lambda line: line.rank)))

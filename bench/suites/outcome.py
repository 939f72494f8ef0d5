"""What the suites said: a cell for each package and kernel, and which of its failures are explained."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EXPLAINED = Path(__file__).with_name("explained.yaml")
_TOLD = re.compile(r"^ *--- (PASS|FAIL|SKIP): (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """One package on one kernel; the verdict is bpfcompat's, from the exit status, and the names are what go test prints."""

    package: str
    kernel: str
    status: str
    passed: int
    skipped: int
    failed: tuple[str, ...]
    """Tests that failed, and not because one of their own subtests did."""


@dataclass(frozen=True)
class Reason:
    """Why some tests fail on some kernels."""

    why: str
    kernels: tuple[str, ...]
    tests: tuple[tuple[str, str], ...]
    """Package, and the test's name or a pattern."""

    def covers(self, cell: Cell, test: str) -> bool:
        """Tell whether it is the reason of a failure."""
        return cell.kernel in self.kernels and any(
            package == cell.package and fnmatch.fnmatchcase(test, pattern) for package, pattern in self.tests
        )


def cells(report: Path) -> list[Cell]:
    """Read a run's report and the output of each suite."""
    return [_cell(target) for target in json.loads(report.read_bytes())["targets"]]


def _cell(target: dict[str, Any]) -> Cell:
    log = target.get("stdout_log")
    told = _TOLD.findall(Path(log).read_text(errors="replace")) if log else []
    by = {what: [name for said, name in told if said == what] for what in ("PASS", "FAIL", "SKIP")}
    leaves = [name for name in by["FAIL"] if not any(other.startswith(f"{name}/") for other in by["FAIL"])]
    return Cell(
        target["check"], target["profile_id"], target["status"], len(by["PASS"]), len(by["SKIP"]), tuple(sorted(leaves))
    )


def reasons(path: Path = EXPLAINED) -> list[Reason]:
    """Read why what fails."""
    return [
        Reason(
            " ".join(row["why"].split()), tuple(row["kernels"]),
            tuple((package, test) for package, tests in row["tests"].items() for test in tests),
        )
        for row in yaml.safe_load(path.read_text())
    ]  # fmt: skip


def of(cell: Cell, known: Sequence[Reason]) -> list[int]:
    """Return the numbers, from 1, of the reasons for a cell's failures."""
    return [number for number, reason in enumerate(known, 1) if any(reason.covers(cell, test) for test in cell.failed)]


def complaints(found: Sequence[Cell], known: Sequence[Reason]) -> list[str]:
    """Return a sentence for each failure that nobody has explained, and for each explanation of what does not fail."""
    said = []
    for cell in found:
        where = f"{cell.package} on {cell.kernel}"
        if cell.status == "infra_error":
            said.append(f"{where} has no verdict.")
        if cell.status == "fail" and not cell.failed:
            said.append(f"{where} failed, and names no test.")
        if cell.status == "pass" and cell.failed:
            said.append(f"{where} passed, and says that {', '.join(cell.failed)} did not.")
        said += [
            f"{test} of {where} fails, and nothing explains it."
            for test in cell.failed
            if not any(reason.covers(cell, test) for reason in known)
        ]
    for number, reason in enumerate(known, 1):
        for kernel in reason.kernels:
            there = [cell for cell in found if cell.kernel == kernel]
            if there and not any(reason.covers(cell, test) for cell in there for test in cell.failed):
                said.append(f"reason {number} ({reason.why[:60]}...) explains nothing on {kernel} any more.")
    return said

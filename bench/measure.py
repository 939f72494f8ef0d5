"""Timing whole processes, in turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TOOL = (sys.executable, "-m", "bpfcompat")


@dataclass(frozen=True)
class Row:
    """One measurement."""

    what: str
    values: tuple[float, ...]
    unit: str = "s"
    target: float | None = None
    """What it should be at most, or at least where `more_is_better`."""
    more_is_better: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def runs(self) -> int:
        return len(self.values)

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        met = self.median >= self.target if self.more_is_better else self.median <= self.target
        return "met" if met else "missed"

    def shown(self, value: float) -> str:
        digits = 2 if self.unit == "s" else 1 if value < 10 else 0
        return f"{value:.{digits}f} {self.unit}"

    def target_shown(self) -> str:
        return "" if self.target is None else f"{'>=' if self.more_is_better else '<='} {self.target:g} {self.unit}"


@dataclass(frozen=True)
class Ran:
    """A process that has ended."""

    seconds: float
    code: int
    rss_mib: float
    """Of the largest process among it and its children."""
    processor_seconds: float
    """Of it and of all children that it has waited for."""


def run(argv: Sequence[str | Path], cwd: Path, log: Path | None = None, **environment: str) -> Ran:
    """Run a process to its end, with its output in a file, or nowhere."""
    # Whoever installs the tool has its byte code on disk.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (log or Path(os.devnull)).open("wb") as output:
        started = time.perf_counter()
        child = subprocess.Popen(
            [str(part) for part in argv], cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**kept, **environment},
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    return Ran(seconds, child.returncode, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def right(ran: Ran, code: int = 0) -> Ran:
    """Return a run that ended as it should; a wrong result must not be timed."""
    if ran.code != code:
        raise SystemExit(f"bench: a measured process ended with {ran.code}, not {code}")
    return ran


def in_turns(measured: dict[str, Callable[[], float]], repeat: int) -> dict[str, tuple[float, ...]]:
    """Run each so many times, one after the other and not each on its own."""
    values: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(repeat):
        for name, measure in measured.items():
            values[name].append(measure())
    return {name: tuple(found) for name, found in values.items()}

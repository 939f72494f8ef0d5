"""What a run costs, each figure a ratio to something measured in the same turn: machines differ, and are busy in turns."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

from bench.measure import TOOL, Row, right, run
from bench.scenes import MVP, changed_loader, emulator_only, told_seconds, tool, write_project
from bpfcompat.model import Profile

_PROFILES = 1000
_BYTES = 10_000_000


def ratios(folder: Path, repeat: int) -> list[Row]:
    """Everything once in each turn, and the medians of what one took in times of another."""
    measures = {**_floors(folder), **_runs(folder)}
    turns = [{name: measure() for name, measure in measures.items()} for _ in range(repeat)]

    def row(what: str, over: str, under: str, target: float | None = None) -> Row:
        return Row(what, tuple(turn[over] / turn[under] for turn in turns), "times", target)

    return [
        row("changed loader, warm, whole process / QEMU's start and end", "loader", "qemu", 8),
        row("`true`, warm, whole process / QEMU's start and end", "true", "qemu", 5),
        row("changed loader, warm, whole process / its own run in the guest", "loader", "loader itself"),
        row("10 MB of output / the same command, silent", "output", "silent", 1.3),
        row("nothing to do, 1 profile / Python's own start", "nothing", "python", 4),
        row(f"nothing to do, {_PROFILES:,} profiles / Python's own start", "nothing-many", "python", 12),
    ]


def _floors(folder: Path) -> dict[str, Callable[[], float]]:
    """What no run can do without."""
    return {
        "qemu": emulator_only(folder),
        "python": lambda: right(run([sys.executable, "-c", "pass"], folder)).seconds,
    }


def _runs(folder: Path) -> dict[str, Callable[[], float]]:
    """Runs of the tool, each of a project of its own."""
    one = MVP[1:2]
    texts = {
        "true": "command: 'true'\n",
        "silent": f"command: head -c {_BYTES} /dev/zero > /dev/null\n",
        "output": f"command: head -c {_BYTES} /dev/zero\n",
        "nothing": "command: 'true'\n",
        "nothing-many": "command: 'true'\n",
    }
    many = tuple(Profile(f"k{number}", MVP[number % len(MVP)].kernel) for number in range(_PROFILES))
    for name, text in texts.items():
        (folder / name).mkdir()
        write_project(folder / name, many if name == "nothing-many" else one, text)
        tool(folder / name)
    loaders = folder / "loader"
    loaders.mkdir()
    write_project(loaders, one)

    def loader() -> float:
        changed_loader(loaders)
        return right(run([*TOOL, "run"], loaders)).seconds

    loader()
    return {
        "loader": loader,
        "loader itself": lambda: told_seconds(loaders),
        **{name: functools.partial(tool, folder / name, "--force") for name in ("true", "silent", "output")},
        **{name: functools.partial(tool, folder / name) for name in ("nothing", "nothing-many")},
    }

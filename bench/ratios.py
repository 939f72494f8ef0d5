"""What a run costs, each figure a ratio to something measured in the same turn: machines differ, and are busy in turns."""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from bench import peers
from bench.measure import TOOL, Row, right, run
from bench.scenes import MVP, changed_loader, emulator_only, ten, told_seconds, tool, twenty_checks, write_project
from bpfcompat.model import Profile
from tests.guest.watching import Watch

_PROFILES = 1000
_BYTES = 10_000_000
_VERDICTS = 200
_IDLE_SECONDS = 1.0
"""Between two changes of a loader that is watched, as there is between two builds: the machine of the next run is restored."""


def ratios(folder: Path, repeat: int) -> list[Row]:
    """Everything once in each turn, and the medians of what one took in times of another."""
    peer = folder / "peer"
    peer.mkdir()
    compared = peers.side_by_side(peer)
    compared.pop("ours, cold", None)  # no ratio here has it
    with _watched(folder / "watch") as change:
        measures = {**_floors(folder), **_runs(folder), "watch": change, **compared}
        turns = [{name: measure() for name, measure in measures.items()} for _ in range(repeat)]

    def row(what: str, over: str, under: str, target: float | None = None) -> Row:
        return Row(what, tuple(turn[over] / turn[under] for turn in turns), "times", target)

    rows = [
        row("changed loader, warm, whole process / QEMU's start and end", "loader", "qemu", 8),
        row("`true`, warm, whole process / QEMU's start and end", "true", "qemu", 5),
        row("changed loader in `watch`, to its verdict / QEMU's start and end", "watch", "qemu", 5),
        row("changed loader, warm, whole process / its own run in the guest", "loader", "loader itself"),
        row(
            f"{_VERDICTS} verdicts, processor time / {_VERDICTS} times the loader's own run",
            "verdicts",
            "loader itself",
            2,
        ),
        row("10 MB of output / the same command, silent", "output", "silent", 1.3),
        row("nothing to do, 1 profile / Python's own start", "nothing", "python", 4),
        row(f"nothing to do, {_PROFILES:,} profiles / Python's own start", "nothing-many", "python", 12),
    ]
    if compared:
        against = row("virtme-ng / warm run, same loader, same kernel", "theirs", "ours", 20)
        rows.append(replace(against, more_is_better=True))
    return rows


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

    def verdicts() -> float:
        """Return the processor time of one of them."""
        changed_loader(matrix)
        return right(run([*TOOL, "run"], matrix)).processor_seconds / _VERDICTS

    matrix = folder / "matrix"
    matrix.mkdir()
    write_project(matrix, ten(), twenty_checks())
    loader()
    verdicts()
    return {
        "verdicts": verdicts,
        "loader": loader,
        "loader itself": lambda: told_seconds(loaders),
        **{name: functools.partial(tool, folder / name, "--force") for name in ("true", "silent", "output")},
        **{name: functools.partial(tool, folder / name) for name in ("nothing", "nothing-many")},
    }


@contextlib.contextmanager
def _watched(folder: Path) -> Iterator[Callable[[], float]]:
    """Yield what changes the loader of a project that is watched, and returns the seconds to its verdict."""
    folder.mkdir()
    write_project(folder, MVP[1:2])
    changed_loader(folder)
    watch = Watch(folder)

    def change() -> float:
        time.sleep(_IDLE_SECONDS)
        changed_loader(folder)
        started = time.perf_counter()
        watch.next("^1 passed")
        return time.perf_counter() - started

    with watch.process:
        watch.next("^1 passed")
        yield change
        watch.process.send_signal(signal.SIGINT)

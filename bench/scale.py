"""`python -m bench.scale`: how long a large matrix takes on how many workers, by measured costs; `--real N` measures a small one.

The simulation hands each job to the worker that would end it first, which is what dask aims at: a worker without the
kernel's boot image fetches the kernel and boots it first. `--real N` runs N checks on three kernels with two real workers
of one processor each on loopback, in a network of their own, in turns with the same run without them, and prints what the
same simulation says of that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpfcompat.model import Project
    from bpfcompat.workflow import Options
    from tests.guest.cluster import Cluster


@dataclass(frozen=True)
class Costs:
    """What a step costs; seconds and bytes."""

    boot: float = 4.2
    """Cold boot, saved and restored once (docs/performance.md), on an idle processor."""
    run: float = 0.35
    """Restore, run, and stop (docs/performance.md)."""
    job: float = 0.02
    """What dask and the way there and back add to a job."""
    kernel_bytes: float = 45e6
    """A kernel as it is sent."""
    payload_bytes: float = 4e6
    job_bytes: float = 30e3
    line: float = 100e6
    """Bytes a second that one machine takes or gives."""


@dataclass(frozen=True)
class Outcome:
    """What a matrix took."""

    workers: int
    seconds: float
    boots: int
    bytes_moved: float


def simulate(costs: Costs, workers: int, kernels: int, checks: int, *, given: bool = False) -> Outcome:
    """Run a matrix on so many workers of one processor each.

    given: kernels come from the coordinator, to one worker after another; else each fetches them from their own source.
    """
    free, known = [0.0] * workers, [set[int]() for _ in range(workers)]
    boots, moved, line_free = 0, 0.0, 0.0
    for number in range(kernels * checks):
        kernel = number % kernels  # jobs are begun on all kernels at once
        warm = min((one for one in range(workers) if kernel in known[one]), key=free.__getitem__, default=None)
        cold = min(range(workers), key=free.__getitem__)
        size = (costs.kernel_bytes if given else 0) + (0 if known[cold] else costs.payload_bytes)
        sent = max(line_free, free[cold]) + size / costs.line
        there = sent + (0 if given else costs.kernel_bytes / costs.line) + costs.boot
        if warm is None or there < free[warm]:
            free[cold], line_free = there, sent if size else line_free
            known[cold].add(kernel)
            boots, moved, warm = boots + 1, moved + size + (0 if given else costs.kernel_bytes), cold
        free[warm] += costs.run + costs.job
        moved += costs.job_bytes
    return Outcome(workers, max(free), boots, moved)


def table(costs: Costs, kernels: int, checks: int) -> str:
    """Return what a matrix takes on 1 to 1,000 workers."""
    lines = [
        f"{kernels} kernels x {checks} checks = {kernels * checks} verdicts", "",
        "| workers | time | boots | moved | the same, all kernels from the coordinator |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for workers in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000):
        found, given = (simulate(costs, workers, kernels, checks, given=given) for given in (False, True))
        lines.append(
            f"| {workers} | {found.seconds:,.0f} s | {found.boots} | {found.bytes_moved / 1e9:.1f} GB"
            f" | {given.seconds:,.0f} s, {given.boots} boots, {given.bytes_moved / 1e9:.1f} GB |"
        )
    return "\n".join(lines)


def _loopback_bytes() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split()[1])
    return 0


@dataclass(frozen=True)
class Took:
    """A run, as it was measured."""

    seconds: float
    exit_codes: tuple[tuple[str, int | None], ...]
    """By job."""
    parcels: int
    """Bytes of kernels and files that were sent, compressed."""
    line: int
    """Bytes on the loopback: those, all that dask says, and what came home."""


def took(project: Project, options: Options) -> Took:
    """Run a project and measure it."""
    from bpfcompat.workflow import Session, engine

    session = Session(project, options)
    started, before = time.monotonic(), _loopback_bytes()
    try:
        targets = engine.run(session).targets
    finally:
        session.close()
    codes = tuple((one.job.name, one.record.verdict.exit_code) for one in targets)
    moved = getattr(session.elsewhere, "moved", {"parcels": 0})
    return Took(time.monotonic() - started, codes, moved["parcels"], _loopback_bytes() - before)


def real(checks: int, turns: int) -> dict[str, Any]:
    """Run that many checks on three kernels, in turns on this machine alone and with two workers of a processor each."""
    from bpfcompat.model import Check, Matrix, Project
    from bpfcompat.project import matrix
    from bpfcompat.workflow import Options
    from tests.guest.cluster import Cluster

    with tempfile.TemporaryDirectory(prefix="scale.") as name:
        folder = Path(name)
        (folder / "data").write_bytes(os.urandom(1 << 20))
        made = tuple(
            Check(f"wc -c data; exit {number % 5}", f"c{number}", files=(folder / "data",), root=folder)
            for number in range(checks)
        )
        here = Project(made, Matrix(matrix.load("quick", Path()).profiles), folder / "here")
        there, alone = replace(here, workdir=folder / "there"), Options(jobs=2, force=True)
        took(replace(here, checks=made[:1]), alone)  # so that kernels and boot images are there
        cluster = Cluster(folder / "machines")
        try:
            cluster.scheduler()
            for number, worker in enumerate(("one", "two")):
                cluster.prefix = ("taskset", "--cpu-list", str(number))
                cluster.worker(worker)
            how = Options(cluster=cluster.address, offline=True, force=True)
            first = took(there, how)
            made_images = [_images(cluster)]
            pairs = []
            for _ in range(turns):
                pairs.append((took(here, alone), took(there, how)))
                made_images.append(_images(cluster))
        finally:
            cluster.close()
    return {
        "verdicts": len(first.exit_codes),
        "equal": all(one.exit_codes == first.exit_codes for pair in pairs for one in pair),
        "boot images made, by the end of each": made_images,
        "two workers, nothing there": round(first.seconds, 1),
        "bytes, nothing there": first.line, "parcels": first.parcels,
        "here, two jobs": [round(one.seconds, 1) for one, _ in pairs],
        "two workers": [round(one.seconds, 1) for _, one in pairs],
        "ratio of each turn": [round(two.seconds / one.seconds, 3) for one, two in pairs],
        "bytes a job": [round(two.line / len(two.exit_codes)) for _, two in pairs],
        "parcels of each turn": [two.parcels for _, two in pairs],
    }  # fmt: skip


def _images(cluster: Cluster) -> int:
    return sum(len(cluster.boot_images(worker)) for worker in ("one", "two"))


def main() -> int:
    """Print the table, or what a real run took beside what is said of it here."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=int, metavar="N", help="run N checks on three kernels with two workers")
    parser.add_argument("--turns", type=int, default=2, help="how often the real run is repeated in turns")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kernels", type=int, default=120)
    parser.add_argument("--checks", type=int, default=40)
    options = parser.parse_args()
    if options.real and not options.inside:
        # A network of its own, in which all that is moved is ours.
        words = [
            "unshare",
            "--net",
            "sh",
            "-c",
            'ip link set lo up && exec "$@"',
            "sh",
            sys.executable,
            "-m",
            "bench.scale",
        ]
        return subprocess.run(
            [*words, "--inside", "--real", str(options.real), "--turns", str(options.turns)], check=False
        ).returncode
    if options.real:
        found = real(options.real, options.turns)
        # What a run costs is taken from this machine as busy as it is; all the rest is what the table below is made of.
        seconds = 2 * min(found["here, two jobs"]) / found["verdicts"]
        costs = replace(
            Costs(),
            run=seconds,
            kernel_bytes=found["parcels"] / found["boot images made, by the end of each"][0],
            line=1e9,
        )
        said = simulate(costs, 2, 3, options.real, given=True)
        print(json.dumps({**found, "the simulation says": asdict(said)}, indent=2))
        return 0 if found["equal"] else 1
    print(table(Costs(), options.kernels, options.checks))
    return 0


if __name__ == "__main__":
    sys.exit(main())

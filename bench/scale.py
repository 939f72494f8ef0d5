"""`python -m bench.scale`: how long a large matrix takes on how many workers, by measured costs; `--real N` measures a small one.

The simulation hands each job to the worker that would end it first, which is what dask aims at: a worker without the
kernel's boot image fetches the kernel and boots it first. `--real N` runs N checks on three kernels with two real workers
on loopback, in a network of their own, and prints what the same simulation says of that.
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


def real(checks: int) -> dict[str, float]:
    """Run that many checks on three kernels, on this machine alone and with two workers; return what it took."""
    from bpfcompat.model import Check, Matrix, Project
    from bpfcompat.project import matrix
    from bpfcompat.workflow import Options, Session, engine
    from tests.guest.cluster import Cluster

    found: dict[str, float] = {"checks": checks, "verdicts": 3 * checks}
    with tempfile.TemporaryDirectory(prefix="scale.") as name:
        folder = Path(name)
        (folder / "data").write_bytes(os.urandom(1 << 20))
        made = tuple(
            Check(f"wc -c data; exit {number % 5}", f"c{number}", files=(folder / "data",), root=folder)
            for number in range(checks)
        )

        def run(project: Project, options: Options) -> tuple[float, list[tuple[str, int | None]], dict[str, int]]:
            session = Session(project, options)
            started = time.monotonic()
            try:
                targets = engine.run(session).targets
            finally:
                session.close()
            moved = dict(getattr(session.elsewhere, "moved", {}))
            return time.monotonic() - started, [(one.job.name, one.record.verdict.exit_code) for one in targets], moved

        profiles = matrix.load("quick", Path()).profiles
        project = Project(made, Matrix(profiles), folder / "here")
        run(replace(project, checks=made[:1]), Options(jobs=2))  # so that kernels and boot images are there
        found["here, two jobs"], expected, _ = run(project, Options(jobs=2, force=True))
        cluster = Cluster(folder / "machines")
        try:
            cluster.scheduler()
            for worker in ("one", "two"):
                cluster.worker(worker)
            there = replace(project, workdir=folder / "there")
            how = Options(cluster=cluster.address, offline=True)
            before = _loopback_bytes()
            found["two workers, nothing there"], first, moved = run(there, how)
            found["bytes, nothing there"] = _loopback_bytes() - before
            found["parcels"] = moved["parcels"]
            found["boot images"] = sum(len(cluster.boot_images(worker)) for worker in ("one", "two"))
            before = _loopback_bytes()
            found["two workers"], again, _ = run(there, replace(how, force=True))
            found["bytes a job"] = (_loopback_bytes() - before) / len(expected)
            found["equal"] = first == expected == again
            found["ratio"] = found["two workers"] / found["here, two jobs"]
        finally:
            cluster.close()
    return found


def main() -> int:
    """Print the table, or what a real run took beside what is said of it here."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=int, metavar="N", help="run N checks on three kernels with two workers")
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
        return subprocess.run([*words, "--inside", "--real", str(options.real)], check=False).returncode
    if options.real:
        found = real(options.real)
        costs = replace(Costs(), run=2 * found["here, two jobs"] / found["verdicts"], kernel_bytes=found["parcels"] / 6)
        said = simulate(replace(costs, line=1e9), 2, 3, options.real, given=True)
        print(json.dumps({**found, "the simulation says": asdict(said)}, indent=2))
        return 0 if found["equal"] else 1
    print(table(Costs(), options.kernels, options.checks))
    return 0


if __name__ == "__main__":
    sys.exit(main())

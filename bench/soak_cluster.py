"""`python -m bench.soak_cluster N`: mixed cases on a cluster whose workers are killed at random; nothing may be wrong or left.

Three workers, of which one is killed with -9 whenever a few verdicts more have come in, and started again. Every verdict that
comes back is compared with what its case of the conformance suite says.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bench.soak import KERNELS, MIX
from bpfcompat.model import Matrix, Project
from bpfcompat.outcome import Status
from bpfcompat.project import matrix
from bpfcompat.workflow import Options, Session, engine
from tests.guest.cluster import Cluster

BATCH = 60
WORKERS = ("one", "two", "three")
_DIED = "every worker that ran it died"
"""dask gives up on a job that has lost three workers: told so, and no verdict."""
_SILENCE_SECONDS = 90.0
"""While nothing but boot images is made, workers are killed, too."""


def kill_at_random(
    cluster: Cluster, dice: random.Random, over: threading.Event, left: threading.Event, found: Counter[str],
    came: Callable[[], int],
) -> None:  # fmt: skip
    """Kill a worker whenever some verdicts more have come in, or nothing has for a while; and start it again.

    over: set when there is nothing more to disturb.
    left: set when the workers may end, which they do with the thread that has started them.
    came: tells how many there are.
    """
    due, since = dice.randint(1, 8), time.monotonic()
    while not over.wait(0.2):
        if came() >= due or time.monotonic() - since > _SILENCE_SECONDS:
            name = dice.choice(WORKERS)
            cluster.kill(name)
            found["kills"] += 1
            cluster.worker(name)
            due, since = came() + dice.randint(1, 8), time.monotonic()
    left.wait()


def batch(folder: Path, address: str, dice: random.Random, found: Counter[str], wrong: list[str]) -> None:
    """Run a batch of random cases, and count what of it is not as its cases say."""
    chosen = [dice.choice(MIX) for _ in range(BATCH // len(KERNELS))]
    checks = [case.check(folder) for case in {case.name: case for case in chosen}.values()]
    cases = list({case.name: case for case in chosen}.values())
    profiles = tuple(one for one in matrix.load("mvp", Path()).profiles if one.id in KERNELS)
    session = Session(Project(tuple(checks), Matrix(profiles), folder / "kept"), Options(cluster=address, offline=True))
    try:
        run = engine.run(session)
    finally:
        session.close()
    by_name = {case.name: case for case in cases}
    for target in run.targets:
        found["verdicts"] += 1
        if target.record.verdict.status is Status.INFRA_ERROR and _DIED in target.record.verdict.reason:
            found["told as killed"] += 1
            continue
        wrong += by_name[target.job.check.name].problems(target.record)
    found["files left"] += sum(1 for place in ("tmp", "locks") for _ in (folder / "kept" / place).glob("*"))


def guests_left(cluster: Cluster) -> int:
    """Return how many machines are there two minutes after the last batch; none as soon as there is none."""
    deadline = time.monotonic() + 120
    while cluster.guests() and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(cluster.guests())


def main() -> int:
    """Run until so many verdicts are in; a job that was told as killed is none."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak_cluster", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    dice, found, wrong = random.Random(options.seed), Counter[str](), list[str]()
    started, over, left = time.monotonic(), threading.Event(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="soak.") as name:
        cluster, batches = Cluster(Path(name) / "machines"), 0

        def came() -> int:
            return sum(1 for _ in Path(name).glob("batches/*/kept/verdicts/*/*.json"))

        killer = threading.Thread(
            target=kill_at_random, args=(cluster, random.Random(options.seed), over, left, found, came), daemon=True
        )
        try:
            cluster.scheduler()
            for worker in WORKERS:
                cluster.worker(worker)
            killer.start()
            try:
                while found["verdicts"] - found["told as killed"] < options.runs:
                    batches += 1
                    folder = Path(name) / "batches" / str(batches)
                    folder.mkdir(parents=True)
                    batch(folder, cluster.address, dice, found, wrong)
                    told = f"{time.monotonic() - started:5.0f} s  {dict(found)}  wrong {len(wrong)}"
                    print(told, file=sys.stderr, flush=True)
            finally:
                over.set()
            found["machines left"] = guests_left(cluster)
        finally:
            over.set()
            left.set()
            if killer.ident:
                killer.join()
            cluster.close()
    print(
        json.dumps(
            {**found, "wrong": wrong, "seed": options.seed, "seconds": round(time.monotonic() - started)}, indent=2
        )
    )
    return len(wrong) + found["machines left"] + found["files left"]


if __name__ == "__main__":
    sys.exit(1 if main() else 0)

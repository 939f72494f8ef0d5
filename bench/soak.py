"""`./dev soak N`: mixed cases on several kernels, with the tool killed at random moments; nothing wrong may be stored or left.

Batches of random cases of the conformance suite run in a process of their own, warm and cold. Every third batch is
killed with -9 at a random moment. After each one every verdict that was stored is compared with what its case says, and
what is left behind is counted: machines, temporary files, boot images that are not whole.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bpfcompat.model import Matrix, Project
from bpfcompat.outcome import Record
from bpfcompat.project import matrix
from bpfcompat.records import VerdictStore
from bpfcompat.system import host
from bpfcompat.vm import bootimage
from bpfcompat.workflow import Options, Session, engine
from tests.conformance.cases import CASES, HANG

KERNELS = ("debian-11-5.10", "debian-12-6.1", "debian-13-backports")
LONG = {"flood", "flood-both", "memory", "memory-of-a-child"}
"""Cases that take seconds each; a hang is run twice by design. Both are in the suite, and would only slow this down."""
MIX = [case for case in CASES if case.ends is not HANG and case.name not in LONG]
CASE = {case.name: case for case in CASES}
BATCH = 24
_MARK = f"soak-{os.getpid()}-{time.time_ns()}"


def worker(folder: Path, seed: int) -> None:
    """Run one batch, and write down what of it is not as its cases say."""
    dice = random.Random(seed)
    chosen = dice.sample(MIX, BATCH)
    name, boot = dice.choice(KERNELS), dice.choice(["warm", "warm", "warm", "cold"])
    profiles = tuple(profile for profile in matrix.load("mvp", Path()).profiles if profile.id == name)
    project = Project(tuple(case.check(folder) for case in chosen), Matrix(profiles), folder / "work", boot=boot)
    session = Session(project, Options())
    try:
        run = engine.run(session)
    finally:
        session.close()
    problems = [case.problems(target.record) for case, target in zip(chosen, run.targets, strict=True)]
    (folder / "problems.json").write_text(json.dumps([line for lines in problems for line in lines]))


def stored(folder: Path) -> list[Record]:
    """Return every verdict that a batch has stored."""
    store = VerdictStore(folder / "work")
    keys = [path.stem for path in (folder / "work" / "verdicts").glob("*/*.json")]
    return [record for key in keys if (record := store.get(key))]


def machines() -> int:
    """Count the QEMU processes of this soak: they have inherited a mark in their environment."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = _MARK.encode() in (process / "environ").read_bytes()
            found += ours and b"qemu-system" in (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
    return found


def batch(folder: Path, seed: int, kill_after: float | None) -> None:
    """Run one batch in a process of its own, killed after so many seconds if it is to be."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.soak", "--worker", str(folder), str(seed)], env={**os.environ, "SOAK": _MARK}
    )
    try:
        child.wait(kill_after)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    deadline = time.monotonic() + 2
    while machines() and time.monotonic() < deadline:
        time.sleep(0.01)


def soak(runs: int, seed: int) -> int:
    """Run batches until so many verdicts are in; print what was found and return how much of it is wrong."""
    dice, found, wrong = random.Random(seed), Counter[str](), []
    started = time.monotonic()
    for number in itertools.count(1):
        with tempfile.TemporaryDirectory(prefix="soak.") as name:
            folder = Path(name)
            killed = number % 3 == 0
            if killed:
                batch(folder, seed + number, dice.uniform(0.1, 4))
                wrong += [
                    problem
                    for record in stored(folder)
                    for problem in CASE[record.job.rpartition("/")[2]].problems(record)
                ]
                found.update(kills=1, machines_left=machines())
            batch(folder, seed + number, None)  # where one was killed, this cleans up and runs the rest
            wrong += json.loads((folder / "problems.json").read_text())
            left = [path for place in ("tmp", "locks") for path in (folder / "work" / place).glob("*")]
            found.update(verdicts=BATCH, batches=1, machines_left=machines(), files_left=len(left))
        images = bootimage.kept(host.cache_folder())
        found.update(images_not_whole=sum(not bootimage.is_whole(image.path) for image in images))
        print(f"{time.monotonic() - started:5.0f} s  {dict(found)}  wrong {len(wrong)}", file=sys.stderr, flush=True)
        if found["verdicts"] >= runs:
            break
    print(json.dumps({**found, "wrong": wrong, "seed": seed, "seconds": round(time.monotonic() - started)}, indent=2))
    return len(wrong) + found["machines_left"] + found["files_left"] + found["images_not_whole"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", type=int, default=200, metavar="N", help="verdicts (default: 200)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(Path(options.worker[0]), int(options.worker[1]))
        sys.exit(0)
    sys.exit(1 if soak(options.runs, options.seed) else 0)

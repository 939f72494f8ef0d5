"""Damaged objects for the validator: truncated, with flipped bits, with pieces overwritten. It must survive all of them.

    ./dev fuzz MINUTES [SEED]

Each is opened on this machine, as before every boot; what libbpf still opens is then loaded and attached in guests, on
the oldest kernel and the newest. A finding is whatever ends neither with a document nor with a sentence: a signal, a
document that cannot be read, a panic. Findings are kept in build/fuzz.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.guest import kit, validator
from bpfcompat.model import Check, Matrix, Project
from bpfcompat.project import matrix
from bpfcompat.system import host
from bpfcompat.verdict import findings
from bpfcompat.workflow import Options, Session, engine

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "build" / "fuzz"
KERNELS = ("debian-11-5.10", "debian-13-backports")
_BATCH = 600
_IN_GUEST = 60
_SECONDS = 3600.0
"""For all of these in one guest, on a machine that has other things to do."""
# Maps without end can use up a guest's memory: the kernel then ends the validator, which frees them, and never the loop.
_LOOP = """
echo -1000 > /proc/self/oom_score_adj
for object in objects/*; do
    (echo 1000 > /proc/self/oom_score_adj; exec timeout -s KILL 30 ./validator/validator $object) >out 2>err
    code=$?
    printf '%s %s ' $code $object
    grep -o '"crashed":[0-9]*' out || echo
done
"""


def mutant(data: bytes, dice: random.Random) -> bytes:
    """Return a damaged copy."""
    way, bytes_ = dice.randrange(5), bytearray(data)
    at = dice.randrange(len(bytes_))
    if way == 0:
        return data[:at]
    if way == 1:
        for _ in range(dice.randint(1, 16)):
            bytes_[dice.randrange(len(bytes_))] ^= 1 << dice.randrange(8)
    elif way == 2:
        bytes_[at : at + dice.choice((1, 2, 4, 8))] = dice.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * dice.choice(
            (1, 2, 4, 8)
        )
    elif way == 3:
        length = dice.randint(1, 256)
        bytes_[at : at + length] = bytes(length)
    else:
        other, length = dice.randrange(len(bytes_)), dice.randint(1, 64)
        bytes_[at : at + length] = data[other : other + length]
    return bytes(bytes_)


def opened(program: Path, objects: Path, counts: Counter[str]) -> list[Path]:
    """Open every object here, drop those that cannot be opened, and return those that make the validator fail."""
    bad = []
    for path in sorted(objects.iterdir()):
        ended = subprocess.run([program, "--mode", "open", path], capture_output=True, check=False, timeout=60)
        counts["opened here"] += 1
        try:
            found = findings.readable(ended.stdout) if ended.returncode == 0 else None
        except ValueError:
            ended.returncode = -1
            found = None
        counts["libbpf crashed, opening"] += bool(found and findings.crash(found))
        if ended.returncode < 0 or (found is None and not ended.stderr):
            bad.append(path)
        elif found and found.get("open_errno") == 0:
            counts["still objects"] += 1
            continue
        if path not in bad:
            path.unlink()
    return bad


def loaded(objects: Path, counts: Counter[str], folder: Path) -> list[Path]:
    """Load objects in a guest of each kernel; return those that make the validator fail, or all if the guest did."""
    bad = []
    profiles = tuple(one for one in matrix.load("mvp", Path()).profiles if one.id in KERNELS)
    check = Check(_LOOP, files=(objects, objects.parent / "validator"), root=objects.parent, timeout=_SECONDS)
    session = Session(
        Project((check,), Matrix(profiles), folder / "work"), Options(force=True, total_seconds=_SECONDS + 300)
    )
    try:
        run = engine.run(session)
    finally:
        session.close()
    for target in run.targets:
        evidence = target.record.evidence
        text = (folder / "work" / evidence / "stdout.log").read_text() if evidence else ""
        lines = text.splitlines()
        counts["loaded in guests"] += len(lines)
        # 2 is the validator's own refusal, which says why; 137 the half minute that one object may take.
        bad += [objects.parent / line.split()[1] for line in lines if line.split()[0] not in {"0", "2", "137"}]
        counts["libbpf crashed, loading"] += text.count('"crashed"')
        counts["took too long"] += sum(line.startswith("137 ") for line in lines)
        if target.record.verdict.exit_code != 0:
            counts[f"guest: {target.record.verdict.reason}"] += 1
            bad += [path for path in objects.iterdir() if path.name not in text]
    return bad


def main() -> int:
    """Fuzz for so many minutes; return 1 if something was found."""
    minutes, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    dice, counts, end = random.Random(seed), Counter[str](), time.monotonic() + 60 * minutes
    program = validator.path(kit.made(host.cache_folder(), print, architecture.host()), host.cache_folder())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["make", "-s", "-C", ROOT / "tests/objects", f"OUT={folder / 'whole'}"], check=True)
        whole = [path.read_bytes() for path in sorted((folder / "whole").iterdir())]
        (folder / "validator").mkdir()
        shutil.copy(program, folder / "validator" / "validator")
        while time.monotonic() < end:
            objects = folder / "objects"
            shutil.rmtree(objects, ignore_errors=True)
            objects.mkdir()
            for number in range(_BATCH):
                (objects / f"{number:04}.o").write_bytes(mutant(dice.choice(whole), dice))
            bad = opened(program, objects, counts)
            for path in sorted(objects.iterdir())[_IN_GUEST:]:
                if path not in bad:
                    path.unlink()
            bad += loaded(objects, counts, folder)
            for path in set(bad):
                KEPT.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, KEPT / f"{seed}-{counts['opened here']}-{path.name}")
                counts["findings"] += 1
            print(f"seed {seed}: {dict(counts)}", flush=True)
    return 1 if counts["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())

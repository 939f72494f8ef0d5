"""Many restored runs in a row: every verdict must be the same, and nothing may be left behind.

./dev shell python -m bench.soak [RUNS]          (default: 1000 on each of three kernels)
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bpfcompat import Check, Matrix, Project, engine, matrix
from bpfcompat.session import Options, Session

KERNELS = ("debian-11-5.10", "debian-12-6.1", "debian-13-backports")
LOADER = Path(__file__).parents[1] / "examples" / "ringbuf" / "build" / "loader"


def leftovers() -> dict[str, int]:
    """Count what a run could leave behind: QEMU processes, our own descriptors, temporary files."""
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return {
        "machines": sum(b"qemu-system" in command for command in commands),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "temporary files": sum(1 for path in Path(tempfile.gettempdir()).glob("bpfcompat*")),
    }


def soak(name: str, runs: int, folder: Path) -> bool:
    """Run the example's loader so many times on a kernel; print what was found and return whether all is well."""
    profile = next(profile for profile in matrix.load("mvp", Path()).profiles if profile.id == name)
    checks = tuple(
        Check(f"N={number} $BPFCOMPAT_BIN --self-test", f"c{number}", binary=LOADER) for number in range(runs)
    )
    project = Project(checks, Matrix((profile,)), folder / name)
    before, started = leftovers(), time.monotonic()
    session = Session(project, Options(force=True))
    try:
        result = engine.run(session)
    finally:
        session.close()
    took, after = time.monotonic() - started, leftovers()
    records = [target.record for target in result.targets]
    seen = Counter((record.verdict, record.boot, record.outcome.stdout, record.outcome.stderr) for record in records)
    left = [*(folder / name / "tmp").iterdir(), *(folder / name / "locks").iterdir()]
    print(
        f"{name}: {runs} runs in {took:.0f} s, {len(seen)} distinct results, before {before}, after {after}, left {left}"
    )
    for (verdict, boot, stdout, stderr), count in seen.most_common():
        print(
            f"  {count} x {boot} {verdict.status.value} {verdict.reason} {stdout.tail[-80:]!r} {stderr.tail[-200:]!r}"
        )
    return len(seen) == 1 and records[0].boot == "warm" and before == after and not left


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(prefix="soak.") as scratch:
        well = [soak(name, count, Path(scratch)) for name in KERNELS]
    sys.exit(0 if all(well) else 1)

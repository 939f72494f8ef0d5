"""A run's folder for temporary files."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from bpfcompat.system import atomic

_KEPT = "kept"


@contextlib.contextmanager
def scratch(workdir: Path, run_id: str, keep: bool = False) -> Iterator[Path]:
    """Yield a folder for one run's temporary files, and drop those of runs that were killed.

    keep: leave it where it is, for a person to look at, and to remove.
    """
    base = workdir / "tmp"
    base.mkdir(parents=True, exist_ok=True)
    # A run that was killed just before its folder was made, or just after it was removed, leaves its lock alone.
    for left in {path.name.removesuffix(".lock") for path in base.iterdir()}:
        if not atomic.is_locked(base / f"{left}.lock") and not (base / left / _KEPT).exists():
            shutil.rmtree(base / left, ignore_errors=True)
    folder = base / run_id
    with atomic.locked(base / f"{run_id}.lock"):
        folder.mkdir()
        try:
            yield folder
        finally:
            if keep:
                (folder / _KEPT).touch()
            else:
                shutil.rmtree(folder, ignore_errors=True)

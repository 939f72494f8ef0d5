"""Folders for temporary files, which go with the process that made them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bpfcompat.system import atomic

_KEPT = "kept"


def unique(what: str) -> str:
    """Return a name that no other folder has; what: the folder is for."""
    return f"{what}.{os.getpid()}.{os.urandom(4).hex()}"


@contextlib.contextmanager
def folder(base: Path, name: str, *, keep: bool = False) -> Iterator[Path]:
    """Yield a new folder for temporary files, and drop those beside it whose processes were killed.

    base: holds such folders and nothing else.
    keep: leave it where it is, for a person to look at, and to remove.
    """
    base.mkdir(parents=True, exist_ok=True)
    # One that was killed just before its folder was made, or just after it was removed, leaves its lock alone.
    for left in {path.name.removesuffix(".lock") for path in base.iterdir()}:
        if not atomic.is_locked(base / f"{left}.lock") and not (base / left / _KEPT).exists():
            shutil.rmtree(base / left, ignore_errors=True)
    made = base / name
    with atomic.locked(base / f"{name}.lock"):
        made.mkdir(mode=0o700)  # the environment of a program may be in it
        try:
            yield made
        finally:
            if keep:
                (made / _KEPT).touch()
            else:
                shutil.rmtree(made, ignore_errors=True)

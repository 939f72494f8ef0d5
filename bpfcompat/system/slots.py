"""Places for machines that all processes of this host share, so that `go test`, which starts many of us, starts no more than fit."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def slot(folder: Path, places: int, *, wait: bool = True) -> Iterator[bool]:
    """Hold one of so many places, and yield whether it does. A process that dies gives its place back.

    folder: where the locks are, the same for all processes.
    wait: for a place, if all are taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = os.getpid() % places
    order = [(first + number) % places for number in range(places)]
    with contextlib.ExitStack() as stack:
        locks = [stack.enter_context((folder / f"{number}.lock").open("ab")) for number in order]
        for lock in locks:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        else:
            if not wait:
                yield False
                return
            fcntl.flock(locks[0], fcntl.LOCK_EX)
        yield True

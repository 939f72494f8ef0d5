"""Writes that happen wholly or not at all, and locks between processes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def write(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data`; a reader sees the old content or the new, a crash leaves one of them."""
    with written(path) as file:
        file.write(data)


@contextmanager
def written(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of the one at `path` when the block ends well, and vanishes when it does not.

    For paths of our own. What a user names goes through `destination`: it may be a link, a device or a pipe.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:64]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file  # no fsync: a torn file after a power cut is not valid JSON, and readers treat it as absent
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Replace the file at `path` by `value` as indented JSON."""
    write(path, json_text(value).encode(errors="replace"))


def json_text(value: Any) -> str:
    """Return a value as indented JSON, with a newline at its end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Yield a new empty folder that takes the name `path` when the block ends well and vanishes when it does not.

    Where `path` exists already by then, it is kept: two that build the same content-addressed folder build equals.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:64]}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever has it; the kernel frees it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # The last holder may have unlinked the name while we waited: then nobody else can see our lock.
        try:
            if os.path.samestat(os.fstat(handle), path.stat()):
                break
        except FileNotFoundError:
            pass
        os.close(handle)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Tell whether a living process holds the lock file `path`."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    path.unlink(missing_ok=True)
    return False

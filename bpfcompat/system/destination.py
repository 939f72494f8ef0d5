"""A path that a user names to be written: a file is replaced as a whole, a link is followed, a device or pipe is written to.

A file is replaced by a rename, so that a reader sees the old content or the new. What a rename must not replace is opened
and written to: root in a container, as CI is, could otherwise turn /dev/null into a file, and break all else on the machine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic

_NO_DESTINATION = {
    stat.S_IFDIR: "is a folder",
    stat.S_IFBLK: "is a block device, on which a report would destroy what is stored",
    stat.S_IFSOCK: "is a socket, which cannot be opened",
}


def check(path: Path, flag: str) -> Path:
    """Return a destination as an absolute path; raises BpfcompatError for one that cannot be written, before any work.

    flag: how the user named it, for instance `--out`.
    """
    kind = _kind(path)
    if why := _NO_DESTINATION.get(kind or 0):
        hint = f"name a file in it: {flag} {path}/report" if kind == stat.S_IFDIR else "name a file"
        raise BpfcompatError(f"{flag} {path} {why}.", hint)
    if kind in {None, stat.S_IFREG} and _can_be_replaced(path):
        return path.absolute()
    if kind is not None and os.access(path, os.W_OK):
        return path.absolute()
    folder = _target(path).parent
    if kind is not None:
        raise BpfcompatError(f"{flag} {path} cannot be written: it may not be opened.", "name another file")
    raise BpfcompatError(
        f"{flag} {path} cannot be written: {folder} is not a folder that is ours to write.", f"mkdir -p {folder}"
    )


def write(path: Path, data: bytes) -> None:
    """Write all of `data` to a destination; raises OSError."""
    with written(path) as file:
        file.write(data)


@contextlib.contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file whose content is at the destination when the block ends well; raises OSError.

    A regular file keeps its old content until then, and its mode.
    """
    kind = _kind(path)
    if kind in _NO_DESTINATION:
        raise OSError(errno.EISDIR if kind == stat.S_IFDIR else errno.ENXIO, "it is no file", str(path))
    mode = stat.S_IMODE(path.stat().st_mode) if kind else 0o644
    if own := _own_stream(path):
        with os.fdopen(os.dup(own), "wb") as file:
            yield file
    elif kind in {None, stat.S_IFREG} and _can_be_replaced(path):
        with atomic.written(_target(path), mode) as file:
            yield file
    else:
        # It exists. O_TRUNC means nothing to a device or a pipe, and a file is written anew.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY), "wb") as file:
            yield file


def _kind(path: Path) -> int | None:
    """Return the type bits of what a path leads to; None if there is nothing yet."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _own_stream(path: Path) -> int | None:
    """Return our stdout or stderr if that is what a path leads to: /dev/stdout would begin anew in the file behind it."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return next((number for number in (1, 2) if os.path.samestat(status, os.fstat(number))), None)
    return None


def _target(path: Path) -> Path:
    """Return what is to be replaced: the file behind all links, which may not be there yet."""
    return Path(os.path.realpath(path))


def _mount_points() -> set[str]:
    """Return where something is mounted; proc(5) writes spaces and the like as octal escapes."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
        return {
            os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), line.split()[4]))
            for line in lines
        }
    return set()


def _can_be_replaced(path: Path) -> bool:
    """Tell whether a file can be made beside what is to be replaced; permissions alone do not tell: /proc grants root all."""
    target = _target(path)
    if path.exists() and not (target.exists() and os.path.samestat(path.stat(), target.stat())):
        return False  # a link of /proc/self/fd, which leads to a file that has no name any more
    if target.exists() and str(target) in _mount_points():
        return False  # a single file that a container sees: it cannot be renamed over
    try:
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError:
        return False
    return True

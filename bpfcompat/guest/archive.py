"""Archives in the format that kernels unpack at boot, newc (Documentation/driver-api/early-userspace/buffer-format.rst)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from bpfcompat.dataclass import dataclass

MAGIC = b"070701"
_LAST = 2**32 - 1
"""The last time that the format can tell, in 2106."""


@dataclass(frozen=True)
class Entry:
    """A file, folder, link or device."""

    mode: int
    """Type and permissions."""
    data: bytes = b""
    device: tuple[int, int] = (0, 0)
    time: int = 0
    """When it was changed, in seconds of the epoch; 0 for the time at which it is unpacked."""


def pack(entries: Iterable[tuple[str, Entry]]) -> bytes:
    """Return an archive; all in it is root's.

    entries: by their names, without the first slash; a folder comes before what is in it.
    """
    parts: list[bytes] = []
    for inode, (name, entry) in enumerate([*entries, ("TRAILER!!!", Entry(0))], start=1):
        path = os.fsencode(name) + b"\0"
        numbers = (inode, entry.mode, 0, 0, 1, entry.time, len(entry.data), 0, 0, *entry.device, len(path), 0)
        header = MAGIC + b"".join(b"%08x" % number for number in numbers) + path
        parts += [header, bytes(-len(header) % 4), entry.data, bytes(-len(entry.data) % 4)]
    return b"".join(parts)


def of_tree(tree: Path, name: str, *, dated: bool = False) -> bytes:
    """Return an archive of everything below a folder.

    name: of the folder in the guest, without the first slash.
    dated: with the times of the files.
    """
    return pack(_entries(tree, name, dated))


def _entries(tree: Path, name: str, dated: bool) -> Iterator[tuple[str, Entry]]:
    folders = []
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        mode, time = status.st_mode, min(max(1, int(status.st_mtime)), _LAST) if dated else 0
        data = os.fsencode(path.readlink()) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else b""
        entry = f"{name}/{path.relative_to(tree)}", Entry(mode, data, time=time)
        if dated and stat.S_ISDIR(mode):
            folders.append(entry)
        yield entry
    yield from reversed(folders)  # what is unpacked into a folder changes its time

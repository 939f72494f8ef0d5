"""Disks for guests: ext4 images of folders, which they only read, of a fixed virtual size, sparse on the host."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import host, processes

_BLOCK = 1 << 20
_OWNERS = "while changing ownership of"
"""What debugfs says for each file to whoever is not root; the files are theirs then, which matters to nobody here."""


def make(tree: Path, image: Path, mib: int) -> None:
    """Write an image of everything below a folder; raises BpfcompatError if it cannot be made.

    mib: its virtual size.
    """
    # Without the lazy tables and without a journal it is small and quick to write: 35 ms for 9 MB.
    processes.check(
        [
            host.program("mke2fs"), "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-O", "^has_journal,^resize_inode",
            "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", "-d", str(tree), str(image), f"{mib}M",
        ],
        doing=f"making the disk {image.name}",
        hint=f"its files must fit into {mib} MiB",
    )  # fmt: skip


def empty(image: Path, mib: int) -> None:
    """Write a disk of a size with nothing on it, all holes; raises OSError."""
    with image.open("xb") as file:
        file.truncate(mib << 20)


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield where a file is not a hole, and what stands there, a MiB at most; raises OSError."""
    with path.open("rb", buffering=0) as file:
        at, size = 0, os.fstat(file.fileno()).st_size
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                    return
                raise
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            while at < end:
                data = os.pread(file.fileno(), min(_BLOCK, end - at), at)
                yield at, data
                at += len(data)


def copy(image: Path, target: Path) -> None:
    """Copy what an image holds into a file of the same size that is all holes; raises OSError."""
    with target.open("r+b") as file:
        for offset, data in blocks(image):
            file.seek(offset)
            file.write(data)


def unpack(image: Path, tree: Path) -> None:
    """Copy everything in an image below a new folder; raises BpfcompatError.

    debugfs ends with 0 whatever happens, so what it says decides.
    """
    tree.mkdir()
    said = processes.run([host.program("debugfs"), "-R", f'rdump / "{tree}"', str(image)])
    lines = said.stderr.decode(errors="replace").splitlines()
    problems = [line for line in lines if not line.startswith("debugfs ") and _OWNERS not in line]
    if said.returncode or problems:
        raise BpfcompatError(f"the disk {image.name} cannot be unpacked: {' '.join(problems) or said.returncode}.")

"""Files on their way to a worker, in pieces: without their holes, compressed, and checked before they take their place."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

from bpfcompat.dataclass import dataclass
from bpfcompat.system import digest, disk

_PIECE = 4 << 20
"""Bytes of files in a piece, before they are compressed."""


@dataclass(frozen=True)
class Piece:
    """A part of a parcel."""

    blocks: tuple[tuple[str, int, bytes], ...]
    """Name of the file, below the parcel's folder; offset; compressed content."""
    files: tuple[tuple[str, int, int, str], ...] = ()
    """In the last piece: name, size, mode and digest of every file."""


def pieces(source: Path, without: str = "") -> Iterator[Piece]:
    """Yield a file, or a folder of files, in pieces; raises OSError.

    without: what the names of files begin with that are left out.
    """
    below = (path for path in sorted(source.rglob("*")) if path.is_file())
    left = [path for path in below if not (without and path.name.startswith(without))]
    names = left if source.is_dir() else [source]
    blocks: list[tuple[str, int, bytes]] = []
    files, size = [], 0
    for path in names:
        name = str(path.relative_to(source)) if path != source else ""
        for offset, data in disk.blocks(path):
            blocks.append((name, offset, zlib.compress(data, 1)))
            size += len(data)
            if size >= _PIECE:
                yield Piece(tuple(blocks))
                blocks, size = [], 0
        status = path.stat()
        files.append((name, status.st_size, status.st_mode & 0o777, digest.of_sparse_file(path)))
    yield Piece(tuple(blocks), tuple(files))


def lay(folder: Path, piece: Piece) -> None:
    """Write a piece into a folder of the parcel's own; raises OSError, zlib.error."""
    for name, offset, data in piece.blocks:
        path = _inside(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.seek(offset)
            file.write(zlib.decompress(data))


def finish(folder: Path, piece: Piece, target: Path) -> None:
    """Check what was laid into a folder against the last piece, and give it its place; raises OSError, ValueError."""
    for name, size, mode, sha256 in piece.files:
        path = _inside(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.truncate(size)
        path.chmod(mode)
        if digest.of_sparse_file(path) != sha256:
            raise ValueError(f"{name or target.name} is not what was sent")
    target.parent.mkdir(parents=True, exist_ok=True)
    laid = folder / "file"
    try:
        (laid if laid.is_file() and [one[0] for one in piece.files] == [""] else folder).rename(target)
    except OSError:
        if not target.exists():
            raise
    shutil.rmtree(folder, ignore_errors=True)


def _inside(folder: Path, name: str) -> Path:
    """Return where a file of a parcel is laid; raises ValueError for one outside of it."""
    path = folder / (name or "file")
    if ".." in path.parts or not path.is_relative_to(folder):
        raise ValueError(f"{name} is outside of its parcel")
    return path

"""Content addresses: SHA-256 of files and of canonical JSON."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from hashlib import _Hash


def _sha256(data: bytes = b"") -> _Hash:
    import hashlib  # with it comes OpenSSL; `exec` starts its machine before that

    return hashlib.sha256(data)


def of_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return _sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file's content in hex; raises OSError."""
    with path.open("rb") as file:
        return of_stream(file)


def of_stream(file: BinaryIO, copy_to: BinaryIO | None = None) -> str:
    """Return the SHA-256 of what is left in `file`, copying it on the way, so that what is hashed is what is kept."""
    hasher = _sha256()
    while block := file.read(1 << 20):
        hasher.update(block)
        if copy_to is not None:
            copy_to.write(block)
    return hasher.hexdigest()


def of_sparse_file(path: Path) -> str:
    """Return the SHA-256 of where a file is not zero and of what stands there, the same whatever its holes; raises OSError."""
    block = 1 << 16
    empty = bytes(block)
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        hasher = _sha256(b"%d" % size)
        at = 0
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA) // block * block
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                    break
                raise
            data = os.pread(file.fileno(), block, at)
            if data != empty[: len(data)]:
                hasher.update(b"@%d:" % at)
                hasher.update(data)
            at += block
    return hasher.hexdigest()


def of_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value in its canonical form: sorted keys, no spaces, UTF-8."""
    return of_bytes(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogateescape")
    )

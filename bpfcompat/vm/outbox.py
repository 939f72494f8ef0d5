"""The outbox: a disk of one run's own, on which the guest leaves what serial ports are too slow for, as one tar."""

from __future__ import annotations

import os
import stat
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from bpfcompat.dataclass import dataclass
from bpfcompat.guest import OUTBOX_MIB
from bpfcompat.outcome import COLLECTED, Collected
from bpfcompat.system import digest

_READ = 1 << 20


class DamagedError(Exception):
    """What is in the outbox is not what the guest has put there."""


@dataclass(frozen=True)
class Delivery:
    """What came out of a guest."""

    stdout: bytes = b""
    """What of the stream did not take the serial port, from where that ended."""
    stderr: bytes = b""
    collected: tuple[Collected, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences on what could not be collected."""


class Outbox:
    """The host's side of that disk: a sparse file without a name, so that nothing is left of it, whatever ends us."""

    def __init__(self, folder: Path) -> None:
        """Make it on the filesystem of a folder; raises OSError."""
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._file.truncate(OUTBOX_MIB << 20)

    def fileno(self) -> int:
        """Return its descriptor, which QEMU inherits."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go of it, and of all that is in it."""
        self._file.close()

    def empty_into(self, folder: Path, length: int, checksum: int) -> Delivery:
        """Return what the guest has put there, and write what it collected to files below a folder.

        length: bytes; checksum: their CRC-32; both as the guest says them.
        Raises DamagedError, OSError.
        """
        self._check(length, checksum)
        import tarfile  # most runs have nothing for it

        streams, collected, notes = {"stdout": b"", "stderr": b""}, [], b""
        try:
            with tarfile.open(fileobj=self._file, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
                for member in tar:
                    content = tar.extractfile(member) if member.type == tarfile.REGTYPE else None
                    if content is None:
                        raise DamagedError(f"{member.name!r} is no file")
                    if member.name in streams:
                        streams[member.name] = content.read()
                    elif member.name == "notes":
                        notes = content.read()
                    else:
                        collected.append(_write(member.name, member.mode, content, folder))
        except tarfile.TarError as error:
            raise DamagedError(str(error)) from error
        said = tuple(line.decode(errors="replace") for line in notes.split(b"\0") if line)
        return Delivery(**streams, collected=tuple(collected), notes=said)

    def _check(self, length: int, checksum: int) -> None:
        """Raise DamagedError if it does not hold what the guest has summed up; leave the file at its start."""
        if length > (size := os.fstat(self.fileno()).st_size):
            raise DamagedError(f"it has {size} of {length} bytes")
        self._file.seek(0)
        found = 0
        for start in range(0, length, _READ):
            found = zlib.crc32(self._file.read(min(length - start, _READ)), found)
        if found != checksum:
            raise DamagedError("its checksum is not right")
        self._file.seek(0)


def _write(name: str, mode: int, content: IO[bytes], folder: Path) -> Collected:
    """Write a collected file; whatever ran in the guest, nothing is written to any other place."""
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or parts[0] != COLLECTED or ".." in parts:
        raise DamagedError(f"{name!r} is no place for a file")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as copy:
        sha256 = digest.of_stream(content, copy)  # type: ignore[arg-type]  # it has read()
    target.chmod(0o755 if mode & stat.S_IXUSR else 0o644)
    return Collected("/".join(parts[1:]), sha256, target.stat().st_size)

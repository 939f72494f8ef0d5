"""Packages and image layers as files: only what belongs to a kernel, and nothing outside the folder that it goes to."""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.model import Classification
from bpfcompat.system import host, processes

_WANTED = re.compile(r"boot/(?:vmlinuz|vmlinux|config)[^/]*|lib/modules/[^/]+/.+")
_BYTES_AT_MOST = 8 << 30


def package(path: Path, folder: Path) -> None:
    """Unpack the kernel and the modules of a .deb or .rpm below `folder`; raises NoVerdict for what is neither or damaged."""
    with path.open("rb") as file:
        head = file.read(8)
    if head == b"!<arch>\n":
        # Where there is no dpkg, libarchive reads the outer archive; the inner one is compressed as Python knows it.
        command = (
            ["dpkg-deb", "--fsys-tarfile", str(path)]
            if shutil.which("dpkg-deb")
            else [_program("bsdtar"), "-xOqf", str(path), "data.tar*"]
        )
    elif head[:4] == b"\xed\xab\xee\xdb":
        command = [_program("bsdtar"), "-cf", "-", f"@{path}"]  # libarchive reads an rpm as if it were a tar archive
    else:
        raise _unavailable(
            f"{path} is neither a Debian nor an RPM package.", "name a linux-image or kernel-core package"
        )
    archive = folder / ".package.tar"
    try:
        with archive.open("wb") as file:
            processes.check(command, doing=f"unpacking {path.name}", stdout=file)
        layer(archive, folder)
    except NoVerdict:
        raise
    except BpfcompatError as error:
        raise _unavailable(error.message, error.hint) from error
    finally:
        archive.unlink(missing_ok=True)


def layer(path: Path, folder: Path) -> None:
    """Unpack the kernel and the modules of a tar archive, which may be compressed with gzip, below `folder`.

    Raises NoVerdict for a damaged archive, and for one with a name that leads out of `folder`.
    """
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            _extract(archive, folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _unavailable(f"{path.name} is damaged: {error}.", "fetch it again") from error


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    total = 0
    for member in archive:
        parts = PurePosixPath(member.name).parts
        name = "/".join(parts[1:] if parts[:1] == ("usr",) else parts)
        if ".." in parts or member.name.startswith("/"):
            raise _unavailable(f"an archive holds the name {member.name[:100]!r}, which leads out of its folder.")
        if not member.isreg() or not _WANTED.fullmatch(name):
            continue
        total += member.size
        if total > _BYTES_AT_MOST:
            raise _unavailable("an archive holds more than 8 GiB of kernel.")
        _write(archive.extractfile(member), folder / name)


def _write(source: IO[bytes] | None, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with target.open("xb") as copy:
        if source:
            shutil.copyfileobj(source, copy)


def _program(name: str) -> str:
    try:
        return host.program(name)
    except BpfcompatError as error:
        raise _unavailable(error.message, error.hint) from error


def _unavailable(message: str, hint: str = "") -> NoVerdict:
    return NoVerdict(Classification.KERNEL_UNAVAILABLE, message, hint)

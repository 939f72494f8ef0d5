"""Packages and image layers as files: only what belongs to a kernel, and nothing outside the folder that it goes to."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.outcome import Classification
from bpfcompat.system import host, processes

if TYPE_CHECKING:
    import tarfile

KERNEL = re.compile(r"boot/(?:vmlinuz|vmlinux|config)[^/]*|lib/modules/[^/]+/.+")
HEADERS = re.compile(r"src/linux-[^/]+(?:/.+)?|lib/linux-kbuild-[^/]+/.+|lib/modules/[^/]+/(?:build|source)")
KEYRINGS = re.compile(r"share/(?:keyrings|[^/]*keys)/.+")
"""What is wanted of an archive, by names as they are without a first usr/. Headers and keys have links."""
_RPM_OR_PKG = (b"\xed\xab\xee\xdb", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"\x1f\x8b")
"""How an RPM package begins, and one of Arch Linux, which is a tar archive that zstd, xz or gzip has compressed."""
_BYTES_AT_MOST = 8 << 30


def package(path: Path, folder: Path, wanted: re.Pattern[str] = KERNEL) -> None:
    """Unpack what is wanted of a .deb, .rpm or .pkg.tar.* below `folder`; raises NoVerdict for what is neither or damaged."""
    folder.mkdir(exist_ok=True)
    with path.open("rb") as file:
        head = file.read(8)
    if head == b"!<arch>\n":
        # Where there is no dpkg, libarchive reads the outer archive; the inner one is compressed as Python knows it.
        command = (
            ["dpkg-deb", "--fsys-tarfile", str(path)]
            if shutil.which("dpkg-deb")
            else [_program("bsdtar"), "-xOqf", str(path), "data.tar*"]
        )
    elif head.startswith(_RPM_OR_PKG):
        command = [_program("bsdtar"), "-cf", "-", f"@{path}"]  # libarchive reads an rpm as if it were a tar archive
    else:
        raise _unavailable(
            f"{path} is neither a Debian nor an RPM nor an Arch Linux package.",
            "name a linux-image or kernel-core package",
        )
    archive = folder / ".package.tar"
    try:
        with archive.open("wb") as file:
            processes.check(command, doing=f"unpacking {path.name}", stdout=file)
        layer(archive, folder, wanted)
    except NoVerdict:
        raise
    except BpfcompatError as error:
        raise _unavailable(error.message, error.hint) from error
    finally:
        archive.unlink(missing_ok=True)


def layer(path: Path, folder: Path, wanted: re.Pattern[str] = KERNEL) -> None:
    """Unpack what is wanted of a tar archive, which may be compressed with gzip, below `folder`.

    Raises NoVerdict for a damaged archive, and for one with a name that leads out of `folder`.
    """
    import tarfile  # what is fetched already needs none

    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            _extract(archive, folder, wanted)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _unavailable(f"{path.name} is damaged: {error}.", "fetch it again") from error


def _extract(archive: tarfile.TarFile, folder: Path, wanted: re.Pattern[str]) -> None:
    total = 0
    for member in archive:
        parts = PurePosixPath(member.name).parts
        name = "/".join(parts[1:] if parts[:1] == ("usr",) else parts)
        if ".." in parts or member.name.startswith("/"):
            raise _unavailable(f"an archive holds the name {member.name[:100]!r}, which leads out of its folder.")
        if not wanted.fullmatch(name) or not (member.isreg() or (member.issym() and wanted is not KERNEL)):
            continue
        target = folder / name
        if not target.parent.resolve().is_relative_to(folder.resolve()):
            raise _unavailable(f"an archive writes {name[:100]!r} through a link that leads out of its folder.")
        total += member.size
        if total > _BYTES_AT_MOST:
            raise _unavailable("an archive holds more than 8 GiB of kernel.")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if member.issym():
            target.symlink_to(member.linkname)
        else:
            _write(archive.extractfile(member), target)
            target.chmod(0o755 if member.mode & 0o111 else 0o644)


def _write(source: IO[bytes] | None, target: Path) -> None:
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

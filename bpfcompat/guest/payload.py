"""The payload: the files of one check on a read-only disk, made once per run and shared by all its kernels.

A small one is an archive there, which init unpacks (init/unpack.c); another one an ext4 filesystem, of which a guest reads what it needs.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from bpfcompat import architecture
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import PAYLOAD_MIB, VALIDATOR, archive, kit, libraries, preflight, validator
from bpfcompat.model import Check, Payload, Shipped
from bpfcompat.outcome import Classification
from bpfcompat.system import digest, disk

if TYPE_CHECKING:
    from bpfcompat.validation import Validation

MOUNT_POINT = "/bpfcompat/payload"
_VALIDATOR = VALIDATOR.removeprefix(f"{MOUNT_POINT}/")


_SMALL, _FEW = 2 << 20, 500
"""Bytes and files of a payload that an emulated guest unpacks in less time than it takes to mount a filesystem and read it."""
_ARCHIVE_AT_MOST = _SMALL + _FEW * 2 * (4096 + 512)
"""Bytes of such a payload with its names."""
_FOLDER = MOUNT_POINT.removeprefix("/")


@dataclass(frozen=True)
class Entry:
    """A file, folder or symbolic link of the payload."""

    name: str
    """Relative to the image's root: bin/..., artifact/..., validator/..., files/..., root/... for what init links into the
    guest's /, over/... for what it also links there in place of the kit's, or placed/... for what it copies there."""
    source: Path
    mode: int
    """Type and permissions; the latter are 0755 or 0644, because a umask is not an input."""


Placed = tuple[tuple[Path, str], ...]
Brought: TypeAlias = (
    "tuple[str, Path | None, bool, Path | None, Validation | None, tuple[Path, ...], tuple[Path, ...], Placed, Path]"
)


def brought(check: Check) -> Brought:
    """Return what tells the payloads of two checks apart before their files are read."""
    return (
        check.arch,
        check.binary,
        check.bundle_libs,
        check.artifact,
        check.validation,
        check.tools,
        check.files,
        check.placed,
        check.root,
    )


def entries(check: Check, validator_program: Path | None = None) -> list[Entry]:
    """List what a check brings, sorted by name.

    validator_program: the validator, for a check whose artifact it tries; None for a first look.
    Raises BpfcompatError for what is missing, is not a file, or stands outside the project, NoVerdict
    (LOADER_NOT_RUNNABLE) for a binary whose libraries are not all here, and for an artifact that is no BPF object.
    """
    found: list[Entry] = []
    for folder, path, key in (("bin", check.binary, "binary"), ("artifact", check.artifact, "artifact")):
        if path is not None:
            _refuse_non_file(path, key)
            found.append(Entry(f"{folder}/{path.name}", path, stat.S_IFREG | (0o755 if key == "binary" else 0o644)))
    if check.artifact and check.validation:
        validator.refuse_foreign(check.artifact, check.artifact)
    if check.artifact and validator_program:
        found.append(Entry(_VALIDATOR, validator_program, stat.S_IFREG | 0o755))
    if check.binary and check.bundle_libs:
        found += _libraries(check.binary, check.arch)
    for path in check.tools:
        _refuse_non_file(path, "guest.tools")
        found += [
            Entry(f"root/{parent}", Path("/") / parent, stat.S_IFDIR | 0o755)
            for parent in ("usr", "usr/local", "usr/local/bin")
        ]
        found += [Entry(f"root/usr/local/bin/{path.name}", path, stat.S_IFREG | 0o755), *_libraries(path, check.arch)]
    for path in check.files:
        inside = Path(os.path.normpath(path))
        if not inside.is_relative_to(check.root) or inside == check.root:
            raise BpfcompatError(
                f"files: {path} is not below {check.root}.",
                "copy it there, or name its place in the guest: `files: {PATH: /PLACE}`",
            )
        if not os.path.lexists(inside):
            raise BpfcompatError(f"files: {path} does not exist.", "create it, or remove it from `files:`")
        parts = inside.relative_to(check.root).parents
        found += [
            Entry(f"files/{parent}", check.root / parent, stat.S_IFDIR | 0o755) for parent in parts if parent.parts
        ]
        found += _walk(inside, f"files/{inside.relative_to(check.root)}")
    for path, place in check.placed:
        if not os.path.lexists(path):
            raise BpfcompatError(f"files: {path} does not exist.", "create it, or remove it from `files:`")
        parents = PurePosixPath(place.lstrip("/")).parents
        found += [Entry(f"placed/{parent}", path.parent, stat.S_IFDIR | 0o755) for parent in parents if parent.parts]
        found += _walk(path.resolve() if path.is_symlink() else path, f"placed{place}")
    return sorted({entry.name: entry for entry in found}.values(), key=lambda entry: entry.name)


def libraries_folder(found: Mapping[str, Path]) -> str:
    """Return where in the image libraries stand: of two C libraries the newer one runs the programs of both, and never the older."""
    return "over" if libraries.c_library(found) > kit.C_LIBRARY else "root"


def _libraries(binary: Path, arch: str) -> Iterator[Entry]:
    """Yield what a program is linked with."""
    interpreter = preflight.interpreter(binary)
    found = libraries.closure(binary, interpreter, architecture.of(arch)) if interpreter else {}
    folder = libraries_folder(found)
    for name, source in found.items():
        for parent in Path(name).parents:
            yield Entry(f"{folder}{parent}".rstrip("/"), parent, stat.S_IFDIR | 0o755)
        yield Entry(f"{folder}{name}", source, stat.S_IFREG | 0o755)


def _refuse_non_file(path: Path, key: str) -> None:
    if path.is_dir():
        raise BpfcompatError(f"{key}: {path} is a folder.", f"name the file in it, for instance `{key}: {path}/loader`")
    if not path.exists():
        raise BpfcompatError(f"{key}: {path} does not exist.", "build it first, or correct the path")
    if not path.is_file():
        raise BpfcompatError(f"{key}: {path} is not a regular file.")


def _walk(path: Path, name: str) -> Iterator[Entry]:
    """Yield a file, or a folder and all in it; name: its own in the image."""
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        yield Entry(name, path, stat.S_IFDIR | 0o755)
        for child in path.iterdir():
            yield from _walk(child, f"{name}/{child.name}")
    elif stat.S_ISLNK(status.st_mode):
        yield Entry(name, path, stat.S_IFLNK | 0o777)
    elif stat.S_ISREG(status.st_mode):
        yield Entry(name, path, stat.S_IFREG | (0o755 if status.st_mode & 0o100 else 0o644))
    else:
        raise BpfcompatError(f"files: {path} is neither a file, a folder nor a link.", "remove it from `files:`")


_Content = tuple[str, int]
"""A file's SHA-256 or a link's target, and its size in bytes."""


def measure(check: Check, validator_program: Path | None = None) -> Payload:
    """Return a check's payload by what its files hold right now, without an image; raises BpfcompatError as `entries` does."""
    found = entries(check, validator_program)
    try:
        return _payload(check, found, {entry.name: _content(entry) for entry in found})
    except OSError as error:
        raise BpfcompatError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _content(entry: Entry) -> _Content:
    if stat.S_ISREG(entry.mode):
        return digest.of_file(entry.source), entry.source.stat().st_size
    return str(entry.source.readlink()) if stat.S_ISLNK(entry.mode) else "", 0


def _payload(check: Check, found: list[Entry], contents: dict[str, _Content], image: Path | None = None) -> Payload:
    def shipped(folder: str, path: Path | None) -> Shipped | None:
        if path is None:
            return None
        name = f"{folder}/{path.name}"
        return Shipped(f"{MOUNT_POINT}/{name}", path.name, *contents[name])

    listed = tuple((entry.name, entry.mode, contents[entry.name][0]) for entry in found)
    return Payload(
        digest=digest.of_json(listed),
        binary=shipped("bin", check.binary),
        artifact=shipped("artifact", check.artifact),
        empty=not found,
        image=image,
        contents=listed,
    )


def stage(
    check: Check,
    folder: Path,
    userland: preflight.Userland,
    validator_program: Path | None = None,
    examiner: Path | None = None,
) -> Payload:
    """Copy a check's files, hash the copies, and make the image of exactly these.

    folder: new, for this check and run alone.
    userland: what a loader finds in the guest.
    validator_program: the validator, for a check whose artifact it tries; None for a first look.
    examiner: the same as a program of this machine.
    Raises BpfcompatError for missing files, NoVerdict for a binary that can run nowhere and an object that no kernel could
    load (LOADER_NOT_RUNNABLE), and if the image cannot be made (STAGING_FAILURE).
    """
    found = entries(check, validator_program)
    tree = folder / "tree"
    tree.mkdir(parents=True)
    image = folder / "payload.disk"
    try:
        contents = {entry.name: _copy(entry, tree / entry.name) for entry in found}
        if check.binary:
            preflight.check_loader(check.binary, tree / "bin" / check.binary.name, check.bundle_libs, userland)
        for tool in check.tools:
            preflight.check_loader(tool, tree / "root/usr/local/bin" / tool.name, True, userland)
        if check.artifact and check.validation and examiner:
            copy = tree / "artifact" / check.artifact.name
            validator.check_object(check.artifact, copy, check.validation, examiner)
        _write(tree, image) if found else disk.empty(image, PAYLOAD_MIB)
    except OSError as error:
        raise NoVerdict(Classification.STAGING_FAILURE, f"the payload cannot be staged: {error}.") from error
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    return _payload(check, found, contents, image)


def _copy(entry: Entry, target: Path) -> _Content:
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(entry.mode):
        target.mkdir(exist_ok=True)
        target.chmod(stat.S_IMODE(entry.mode))
        return "", 0
    if stat.S_ISLNK(entry.mode):
        link = entry.source.readlink()
        target.symlink_to(link)
        return str(link), 0
    with entry.source.open("rb") as source, target.open("xb") as copy:
        content = digest.of_stream(source, copy)
    target.chmod(stat.S_IMODE(entry.mode))
    return content, target.stat().st_size


def write(tree: Path, image: Path, *, dated: bool = False) -> None:
    """Write the disk that brings everything below a folder; raises BpfcompatError, OSError.

    image: what is there already must be all holes.
    dated: files have their times in the guest, where those are copied; without, that of their use.
    """
    if not _is_small(tree):
        disk.make(tree, image, PAYLOAD_MIB)
        return
    if not image.exists():
        disk.empty(image, PAYLOAD_MIB)
    with image.open("r+b") as file:
        file.write(archive.of_tree(tree, _FOLDER, dated=dated))


def _is_small(tree: Path) -> bool:
    paths = list(tree.rglob("*"))
    return len(paths) <= _FEW and sum(path.lstat().st_size for path in paths) <= _SMALL


def unpacked(image: Path, folder: Path) -> bytes:
    """Return what a disk brings as an archive for a kernel to unpack, with the same names.

    folder: new, for temporary files.
    Raises BpfcompatError, OSError.
    """
    with image.open("rb") as file:
        if file.read(len(archive.MAGIC)) == archive.MAGIC:
            file.seek(0)
            whole = file.read(_ARCHIVE_AT_MOST).rstrip(b"\0")
            return whole + bytes(4 - len(whole) % 4)  # the name of its last entry ends in a zero
    disk.unpack(image, folder)
    return archive.of_tree(folder, _FOLDER)


def _write(tree: Path, image: Path) -> None:
    try:
        write(tree, image)
    except BpfcompatError as error:
        raise NoVerdict(Classification.STAGING_FAILURE, error.message, error.hint) from error

"""A userland of the project's own instead of bash and busybox: `guest: {rootfs: FOLDER or TAR}`, as a disk under an overlay."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic, digest, disk, host, processes

FORMAT = 1
"""Counts the layouts of the disk."""
_MIB = 4096
_LINKS_AT_MOST = 40


@dataclass(frozen=True)
class Rootfs:
    """What stands in a userland."""

    identity: str
    """What a disk of exactly this is known by."""
    files: Mapping[str, str | None]
    """Path without the first slash -> a link's target, or None for whatever is no link."""

    def holds(self, path: str) -> bool:
        """Tell whether a path leads to something, following links as the guest will."""
        left, done = [part for part in path.split("/") if part not in {"", "."}], list[str]()
        for _ in range(_LINKS_AT_MOST):
            while left:
                part = left.pop(0)
                if part == "..":
                    done = done[:-1]
                    continue
                here = "/".join([*done, part])
                if here not in self.files:
                    return False
                target = self.files[here]
                if target is not None:
                    done = [] if target.startswith("/") else done
                    left = [word for word in target.split("/") if word not in {"", "."}] + left
                    break
                done.append(part)
            else:
                return True
        return False

    def holds_library(self, name: str) -> bool:
        """Tell whether there is a file of this name anywhere: where a linker looks is the userland's own affair."""
        return any(PurePosixPath(path).name == name for path in self.files)


def find(source: Path, cache: Path) -> Rootfs:
    """Return what stands in a folder or a tar archive; raises BpfcompatError for what is neither.

    What was found last is used again while nothing in it has changed.
    """
    if not source.exists():
        raise BpfcompatError(f"guest.rootfs: {source} does not exist.", "build it first, or correct the path")
    try:
        stamps = digest.of_json([FORMAT, str(source), list(_stamps(source))])
        memo = _folder(cache) / f"{stamps[:32]}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(memo.read_bytes())
            return Rootfs(known["identity"], known["files"])
        found = _of_folder(source) if source.is_dir() else _of_archive(source)
    except (OSError, EOFError) as error:
        raise BpfcompatError(
            f"guest.rootfs: {source} is neither a folder nor a tar archive that can be read: {error}.",
            "name a folder, or what `tar -cf` or `docker export` writes",
        ) from error
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        atomic.write_json(memo, {"identity": found.identity, "files": found.files})
    return found


def _folder(cache: Path) -> Path:
    return cache / "rootfs"


def disk_path(cache: Path, rootfs: Rootfs) -> Path:
    """Return where the disk of a userland is, or will be."""
    return _folder(cache) / f"{rootfs.identity}.ext4"


def _stamps(source: Path) -> Iterator[list[str | int]]:
    for path in (source, *(_walk(source) if source.is_dir() else ())):
        status = path.lstat()
        yield [os.fsdecode(path), status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _of_folder(source: Path) -> Rootfs:
    files: dict[str, str | None] = {}
    contents = []
    for path in _walk(source):
        status, name = path.lstat(), str(path.relative_to(source))
        link = os.fsdecode(path.readlink()) if stat.S_ISLNK(status.st_mode) else None
        files[name] = link
        held = digest.of_file(path) if stat.S_ISREG(status.st_mode) else link or str(status.st_rdev)
        contents.append([name, status.st_mode, status.st_uid, status.st_gid, held])
    return Rootfs(digest.of_json([FORMAT, contents]), files)


def _of_archive(source: Path) -> Rootfs:
    import tarfile  # which a project without a userland of its own does not need

    try:
        with tarfile.open(source) as archive:
            members = {member.name.removeprefix("./").rstrip("/"): member for member in archive}
    except tarfile.TarError as error:
        raise OSError(error) from error
    for name in members:
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise BpfcompatError(f"guest.rootfs: {source} holds the name {name[:100]!r}, which leads out of it.")
    files = {
        name: member.linkname if member.issym() else None for name, member in members.items() if name not in {"", "."}
    }
    parents = {str(parent): None for name in files for parent in PurePosixPath(name).parents if str(parent) != "."}
    return Rootfs(digest.of_json([FORMAT, digest.of_file(source)]), {**parents, **files})


def pack(source: Path, rootfs: Rootfs, cache: Path) -> None:
    """Make the disk; raises BpfcompatError, also if what it is made of is not what was found any more, and OSError."""
    image = disk_path(cache, rootfs)
    image.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".rootfs.", dir=image.parent) as name:
        tree = source
        if not source.is_dir():
            tree = Path(name) / "tree"
            tree.mkdir()
            # tar itself: tarfile's filters refuse the absolute links that every userland has, and its rest trusts them.
            processes.check(
                [host.program("tar"), "-C", str(tree), "--numeric-owner", "-xf", str(source)],
                doing=f"unpacking {source}",
                hint="write it again with `tar -cf`, or `docker export`",
            )
        disk.make(tree, Path(name) / "disk", _MIB)
        if find(source, cache).identity != rootfs.identity:
            raise BpfcompatError(f"guest.rootfs: {source} changed while it was packed.", "run again")
        (Path(name) / "disk").replace(image)


def use(cache: Path, rootfs: Rootfs) -> None:
    """Remember that a userland is run now: what was not for longest is pruned first."""
    with contextlib.suppress(OSError):  # not packed yet, or a cache that is not ours to write
        os.utime(disk_path(cache, rootfs))


def prune(cache: Path, at_most: int, keep: Path | None = None) -> tuple[int, int]:
    """Drop the disks used longest ago until the rest fits; return how many, and their bytes.

    A machine that runs on one holds it until it ends.

    at_most: bytes.
    keep: a disk that stays.
    """
    disks = sorted(
        (*_folder(cache).glob("*.ext4"), *_folder(cache).glob("oci-*.tar")),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    total, count, freed = 0, 0, 0
    for path in disks:
        size = path.stat().st_blocks * 512
        total += size
        if total > at_most and path != keep:
            path.unlink(missing_ok=True)
            count, freed = count + 1, freed + size
    return count, freed

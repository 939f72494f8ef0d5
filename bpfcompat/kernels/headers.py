"""A kernel's headers: a disk beside it in the store, from which the guest makes /usr/src and /lib/modules/RELEASE/build."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.kernels.store import HEADERS
from bpfcompat.model import Kernel, Profile
from bpfcompat.outcome import Classification
from bpfcompat.system import atomic, digest, disk

_FORMAT = 1
"""Counts the layouts of the disk: src/ and lib/ are those of the guest's /usr, modules/ is its /lib/modules/RELEASE."""
_MIB = 2048


def without(kernel: Kernel) -> Kernel:
    """Return a kernel for a profile that does not ask for its headers, whether they are in the store or not."""
    return replace(kernel, headers_disk=None, headers_sha256="")


def as_asked(kernel: Kernel, profile: Profile) -> Kernel | None:
    """Return a kernel as a profile asks for it, or None if its headers are asked for and not in the store."""
    if not profile.headers:
        return without(kernel)
    return kernel if kernel.headers_disk and kernel.headers_sha256 else None


def keep(kernel: Kernel, tree: Path) -> Kernel:
    """Store a kernel's headers beside it, and return it with them.

    tree: as a package has them, src/ and lib/ below it; it is changed.
    Raises NoVerdict if they are not those of this kernel, or cannot be stored.
    """
    folder = kernel.image.parent
    _lay_out(tree, kernel.release)
    sha256 = digest.of_json([_FORMAT, _contents(tree)])
    try:
        with (
            atomic.locked(folder.with_name(f"{folder.name}.lock")),
            tempfile.TemporaryDirectory(prefix=".headers.", dir=folder.parent) as name,
        ):
            disk.make(tree, Path(name) / "disk", _MIB)
            (Path(name) / "disk").replace(folder / HEADERS)
            atomic.write_json(folder / f"{HEADERS}.json", {"format": _FORMAT, "sha256": sha256})
    except BpfcompatError as error:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, error.message, error.hint) from error
    return replace(kernel, headers_disk=folder / HEADERS, headers_sha256=sha256)


def _lay_out(tree: Path, release: str) -> None:
    """Make modules/ of lib/modules/RELEASE, whose links are absolute in the older packages and relative in the newer ones."""
    links = tree / "lib" / "modules" / release
    (tree / "modules").mkdir()
    for name in ("build", "source"):
        if (links / name).is_symlink():
            (tree / "modules" / name).symlink_to(f"/usr/src/{(links / name).readlink().name}")
    if not (tree / "modules" / "build").is_symlink():
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE, f"the packages of headers have no /lib/modules/{release}/build."
        )
    shutil.rmtree(tree / "lib" / "modules")


def _contents(tree: Path) -> list[list[str | int]]:
    """Return name, whether it may be executed, and digest or link of everything in a tree."""
    found: list[list[str | int]] = []
    for path in sorted(tree.rglob("*")):
        name, status = str(path.relative_to(tree)), path.lstat()
        if path.is_symlink():
            found.append([name, os.fsdecode(path.readlink())])
        elif path.is_file():
            found.append([name, status.st_mode & 0o111, digest.of_file(path)])
    return found

"""Kernels in Debian packages: `deb:FILE` or `deb:URL`, with `modules:` naming the others where a kernel is split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import download, tree, unpack
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.store import Fetched
from bpfcompat.outcome import Classification
from bpfcompat.system import digest

LOCAL = True


def fetch(asked: Asked) -> Fetched:
    """Unpack the packages; raises NoVerdict for what cannot be had, is damaged, is not what it must be, or holds no kernel."""
    return unpacked(asked, brought(asked))


def brought(asked: Asked) -> list[Path]:
    """Return the packages that a profile names; raises NoVerdict unless they are what `sha256:` says."""
    profile = asked.profile
    found = [download.brought(name, profile.root, _own(asked, index)) for index, name in enumerate(_names(asked))]
    for name, path, wanted in zip(_names(asked), found, profile.sha256, strict=False):
        if (sha256 := digest.of_file(path)) != wanted:
            raise NoVerdict(
                Classification.KERNEL_UNAVAILABLE,
                f"{name} has the SHA-256 {sha256}, and `sha256:` says {wanted}.",
                "take it only if you know why; then correct `sha256:`",
            )
    return found


def unpacked(asked: Asked, packages: list[Path]) -> Fetched:
    """Return the one kernel in some packages; raises NoVerdict."""
    target = asked.folder / "tree"
    target.mkdir()
    for package in packages:
        unpack.package(package, target)
    found = tree.find(target, asked.profile.kernel, packages[0].stem)
    watched = tuple(path for name, path in zip(_names(asked), packages, strict=True) if not download.is_url(name))
    return replace(found, watched=watched)


def _names(asked: Asked) -> list[str]:
    return [asked.rest, *asked.profile.modules]


def _own(asked: Asked, index: int) -> Path:
    """A folder for each: two URLs may end in the same name."""
    folder = asked.folder / str(index)
    folder.mkdir()
    return folder

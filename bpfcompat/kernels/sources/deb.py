"""Kernels in Debian packages: `deb:FILE` or `deb:URL`, with `modules:` naming a second package where they are split."""

from __future__ import annotations

from bpfcompat.kernels import download, tree, unpack
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.store import Fetched

LOCAL = True


def fetch(asked: Asked) -> Fetched:
    """Unpack the packages; raises NoVerdict for what cannot be had, is damaged, or holds no kernel."""
    root, target = asked.profile.root, asked.folder / "tree"
    names = [asked.rest, *([asked.profile.modules] if asked.profile.modules else [])]
    packages = [download.brought(name, root, asked.folder) for name in names]
    target.mkdir()
    for package in packages:
        unpack.package(package, target)
    found = tree.find(target, asked.profile.kernel, packages[0].stem)
    watched = tuple(path for name, path in zip(names, packages, strict=True) if not download.is_url(name))
    return Fetched(found.image, found.version, found.modules, found.config, watched)

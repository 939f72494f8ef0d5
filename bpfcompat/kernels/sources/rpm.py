"""Kernels in RPM packages: `rpm:FILE` or `rpm:URL`, for instance kernel-core, with `modules:` naming the others."""

from __future__ import annotations

from dataclasses import replace

from bpfcompat.kernels import signatures
from bpfcompat.kernels.sources import Asked, deb
from bpfcompat.kernels.store import Fetched

LOCAL = True


def fetch(asked: Asked) -> Fetched:
    """Check the packages, by `sha256:` and `key:` where these are said, and unpack them; raises NoVerdict."""
    packages, keys = deb.brought(asked), [asked.profile.root / name for name in asked.profile.keys]
    if keys:
        signatures.check(packages, keys, asked.folder)
    found = deb.unpacked(asked, packages)
    return replace(found, watched=(*found.watched, *keys))

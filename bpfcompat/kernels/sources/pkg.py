"""Kernels in Arch Linux' packages: `pkg:FILE` or `pkg:URL`, for instance linux-lts-6.12.58-1-x86_64.pkg.tar.zst."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bpfcompat.kernels import download, signatures
from bpfcompat.kernels.sources import Asked, deb
from bpfcompat.kernels.store import Fetched

LOCAL = True


def fetch(asked: Asked) -> Fetched:
    """Check the package, by `sha256:` and by the signature beside it where `key:` is said, and unpack it; raises NoVerdict."""
    packages, keys = deb.brought(asked), [asked.profile.root / name for name in asked.profile.keys]
    names = [asked.rest, *asked.profile.modules]
    beside = [_signature(asked, name, index) for index, name in enumerate(names)] if keys else []
    if keys:
        signatures.check_detached(list(zip(packages, beside, strict=True)), keys, asked.folder)
    found = deb.unpacked(asked, packages)
    local = [path for name, path in zip(names, beside, strict=False) if not download.is_url(name)]
    return replace(found, watched=(*found.watched, *keys, *local))


def _signature(asked: Asked, name: str, index: int) -> Path:
    """Return the file NAME.sig that Arch Linux publishes beside each package."""
    folder = asked.folder / f"signature.{index}"
    folder.mkdir()
    return download.brought(f"{name}.sig", asked.profile.root, folder)

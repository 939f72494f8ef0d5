"""Kernels by name: one module per kind of source, one store, one way to ask."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import apt, files, store
from bpfcompat.kernels.store import Fetched
from bpfcompat.model import Classification, Kernel, Profile

Source = Callable[[str, Profile, Path, Path], Fetched]
"""(what stands behind the colon, the profile, the cache, an empty folder to work in) -> the kernel's files."""

SOURCES: dict[str, Source] = {"apt": apt.fetch, "path": files.fetch}


def _split(profile: Profile) -> tuple[Source, str]:
    kind, colon, rest = profile.kernel.partition(":")
    if not colon or kind not in SOURCES or not rest:
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"'{profile.kernel}' does not name a kernel.",
            f"write one of {', '.join(f'{name}:...' for name in SOURCES)}, for instance apt:bookworm/linux-image-cloud-amd64",
        )
    return SOURCES[kind], rest


def address(profile: Profile) -> str:
    """Return what a kernel's resolution is remembered under: its name, with paths made absolute."""
    source, rest = _split(profile)
    if source is files.fetch:
        return f"path:{profile.root / rest}|{profile.root / profile.modules if profile.modules else ''}"
    return profile.kernel


def pinned(profile: Profile, cache: Path) -> Kernel | None:
    """Return the kernel that `profile` was last resolved to and that is still whole in the store; touches no image."""
    return store.pinned(cache, address(profile))


def fetch(profile: Profile, cache: Path, *, offline: bool = False) -> Kernel:
    """Resolve `profile` to a kernel in the store, downloading it where needed.

    Raises NoVerdict (KERNEL_UNAVAILABLE) with what to do.
    """
    source, rest = _split(profile)
    if offline and source is not files.fetch:
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"{profile.kernel} is not in the kernel store, and --offline forbids fetching it.",
            "run once without --offline",
        )
    work = cache / "tmp"
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kernel.", dir=work))
    try:
        return store.add(cache, address(profile), profile.kernel, source(rest, profile, cache, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def forget(profile: Profile, cache: Path) -> None:
    """Drop what `profile` was resolved to, so that the next run asks its source again."""
    store.unpin(cache, address(profile))

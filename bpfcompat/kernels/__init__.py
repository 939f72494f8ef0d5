"""Kernels by name: one module per kind of source, one store, one way to ask."""

from __future__ import annotations

import difflib
import shutil
import tempfile
from pathlib import Path
from types import ModuleType

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.kernels import sources, store
from bpfcompat.kernels.sources import Asked
from bpfcompat.model import Classification, Kernel, Profile


def refuse_foreign(name: str) -> None:
    """Raise BpfcompatError for a name that is of no kind of source that there is."""
    kind, _, rest = name.partition(":")
    if kind in sources.names() and (rest or kind == "host"):
        return
    close = [other for other in difflib.get_close_matches(kind, sources.names(), n=1) if rest and other != kind]
    kinds = ", ".join(other if other == "host" else f"{other}:..." for other in sources.names())
    raise BpfcompatError(
        f"'{name}' does not name a kernel.",
        f"did you mean '{close[0]}:{rest}'?"
        if close
        else f"write one of {kinds}; for instance apt:bookworm/linux-image-cloud-amd64",
    )


def _split(profile: Profile) -> tuple[ModuleType, str]:
    kind, _, rest = profile.kernel.partition(":")
    try:
        refuse_foreign(profile.kernel)
    except BpfcompatError as error:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, error.message, error.hint) from error
    return sources.load(kind), rest


def _is_local(source: ModuleType) -> bool:
    return getattr(source, "LOCAL", False)


def address(profile: Profile) -> str:
    """Return what a kernel's resolution is remembered under: its name, with paths made absolute."""
    source, _ = _split(profile)
    if not _is_local(source):
        return profile.kernel
    return "|".join([profile.kernel, str(profile.root), profile.modules or "", profile.config or ""])


def pinned(profile: Profile, cache: Path) -> Kernel | None:
    """Return the kernel that `profile` was last resolved to and that is still whole in the store; touches no image."""
    return store.pinned(cache, address(profile))


def fetch(profile: Profile, cache: Path, *, offline: bool = False) -> Kernel:
    """Resolve `profile` to a kernel in the store, downloading it where needed.

    Raises NoVerdict (KERNEL_UNAVAILABLE) with what to do.
    """
    source, rest = _split(profile)
    if offline and not _is_local(source):
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"{profile.kernel} is not in the kernel store, and --offline forbids fetching it.",
            "run once without --offline",
        )
    work = cache / "tmp"
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kernel.", dir=work))
    try:
        return store.add(cache, address(profile), profile.kernel, source.fetch(Asked(rest, profile, cache, folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def forget(profile: Profile, cache: Path) -> None:
    """Drop what `profile` was resolved to, so that the next run asks its source again."""
    store.unpin(cache, address(profile))

"""Kernels of one's own: `path:IMAGE`, with `modules:` and `config:` beside it in the profile."""

from __future__ import annotations

from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import image, modules
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.store import Fetched
from bpfcompat.outcome import Classification

LOCAL = True


def fetch(asked: Asked) -> Fetched:
    """Find an image and its modules on this machine; raises NoVerdict if one is not there."""
    profile = asked.profile
    path = profile.root / asked.rest
    if not path.is_file():
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"there is no kernel image {path}.",
            f"build it, or correct the profile '{profile.id}'",
        )
    if kind := _package_kind(path):
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE, f"{path} is a package, and path: names a kernel image.",
            f"write kernel: {kind}:{asked.rest}",
        )  # fmt: skip
    modules_name = profile.modules[0] if profile.modules else None
    folder, config = (profile.root / name if name else None for name in (modules_name, profile.config))
    for key, found in (("modules", folder), ("config", config)):
        if found and not found.exists():
            raise NoVerdict(
                Classification.KERNEL_UNAVAILABLE,
                f"there is no {found}.",
                f"correct `{key}:` of the profile '{profile.id}'",
            )
    return Fetched(path, image.version(path), folder, config, (path, *(modules.watched(folder) if folder else ())))


def _package_kind(path: Path) -> str:
    """Return the kind of source that reads a package, by its name; empty for what has not the name of a package."""
    return "pkg" if ".pkg.tar" in path.name else path.suffix[1:] if path.suffix in (".deb", ".rpm") else ""

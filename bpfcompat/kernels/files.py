"""Kernels of one's own: `path:IMAGE`, with `modules:` beside it in the profile."""

from __future__ import annotations

from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import image, modules
from bpfcompat.kernels.store import GUEST_MODULES, Fetched
from bpfcompat.model import Classification, Profile


def fetch(rest: str, profile: Profile, cache: Path, folder: Path) -> Fetched:  # noqa: ARG001
    """Find an image and its modules on this machine; raises NoVerdict if one is not there."""
    path = profile.root / rest
    if not path.is_file():
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"there is no kernel image {path}.",
            f"build it, or correct the profile '{profile.id}'",
        )
    tree = profile.root / profile.modules if profile.modules else None
    if tree and not tree.is_dir():
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"there is no modules folder {tree}.",
            f"correct `modules:` of the profile '{profile.id}'",
        )
    needed = modules.closure(tree, GUEST_MODULES) if tree else []
    return Fetched(path, image.version(path), tree, watched=(path, *needed))

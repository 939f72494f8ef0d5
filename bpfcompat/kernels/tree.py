"""A kernel in a folder: its image, modules and configuration, wherever a distribution or a build puts them."""

from __future__ import annotations

from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.kernels.store import Fetched
from bpfcompat.outcome import Classification

_IMAGES = ("boot/vmlinuz*", "usr/lib/modules/*/vmlinuz", "lib/modules/*/vmlinuz", "boot/vmlinux*")
_MODULES = ("lib/modules/*", "usr/lib/modules/*")


def find(folder: Path, what: str, version: str) -> Fetched:
    """Return the one kernel in an unpacked package, image or root folder.

    what: how the user named it, for messages.
    version: what it is known by.
    Raises NoVerdict (KERNEL_UNAVAILABLE) if there is none, or more than one.
    """
    images = next((found for pattern in _IMAGES if (found := sorted(folder.glob(pattern)))), [])
    images = [path for path in images if path.is_file() and not path.is_symlink()]
    if len(images) != 1:
        names = ", ".join(str(path.relative_to(folder)) for path in images)
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"{what} holds several kernels: {names}." if images else f"{what} holds no kernel image.",
            "name one of them with path:" if images else "name a linux-image or kernel-core package",
        )
    modules = [path for pattern in _MODULES for path in folder.glob(pattern) if (path / "kernel").is_dir()]
    configs = [
        *folder.glob("boot/config*"),
        *folder.glob("*lib/modules/*/config"),
        *folder.glob("usr/lib/modules/*/config"),
    ]
    return Fetched(images[0], version, modules[0] if modules else None, configs[0] if configs else None)

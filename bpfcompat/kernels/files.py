"""Kernels of one's own: `path:IMAGE`, with `modules:` beside it in the profile."""

from __future__ import annotations

from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import modules
from bpfcompat.kernels.store import GUEST_MODULES, Fetched
from bpfcompat.model import Classification, Profile


def fetch(rest: str, profile: Profile, cache: Path, folder: Path) -> Fetched:  # noqa: ARG001
    """Find an image and its modules on this machine; raises NoVerdict if one is not there."""
    image = profile.root / rest
    if not image.is_file():
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"there is no kernel image {image}.",
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
    return Fetched(image, _version(image), tree, watched=(image, *needed))


def _version(image: Path) -> str:
    """Return the version text in a bzImage's header (Documentation/arch/x86/boot.rst, kernel_version), else its name."""
    with image.open("rb") as file:
        head = file.read(0x10000)
    if head[0x202:0x206] != b"HdrS":
        return image.name
    at = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    return head[at : at + 256].split(b"\0")[0].split(b" ")[0].decode(errors="replace") or image.name

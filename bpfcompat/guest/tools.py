"""The disk with the kit's tools: no memory of the guest is spent on them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from bpfcompat.guest.kit import Kit
from bpfcompat.system import digest, disk

FORMAT = 2
"""Counts the layouts of the disk."""
_MIB = 256


def identity(kit: Kit) -> str:
    """Return what a disk of a kit's tools is known by."""
    return digest.of_json([FORMAT, kit.identity])


def pack(kit: Kit, image: Path) -> None:
    """Make the disk; raises BpfcompatError, OSError."""
    image.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tools.", dir=image.parent) as name:
        tree = Path(name) / "tree"
        tree.mkdir()
        shutil.copytree(kit.tools, tree / "root", symlinks=True)
        disk.make(tree, Path(name) / "disk", _MIB)
        (Path(name) / "disk").replace(image)

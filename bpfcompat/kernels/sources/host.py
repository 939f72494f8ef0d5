"""The kernel that this machine runs: `host`, if its image can be read."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.store import Fetched
from bpfcompat.outcome import Classification

LOCAL = True


def fetch(asked: Asked, root: Path = Path("/")) -> Fetched:  # noqa: ARG001
    """Find the running kernel's image, modules and configuration; raises NoVerdict if the image is not to be had."""
    release = platform.release()
    modules, config = root / "lib/modules" / release, root / "boot" / f"config-{release}"
    images = (root / "boot" / f"vmlinuz-{release}", modules / "vmlinuz")
    found = next((path for path in images if path.exists()), None)
    if found is None or not os.access(found, os.R_OK):
        what = f"{found} cannot be read" if found else f"neither {images[0]} nor {images[1]} is there"
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"the image of the running kernel {release} is not to be had: {what}.",
            f"sudo chmod +r {found}"
            if found
            else "name a kernel of the archive, for instance apt:bookworm/linux-image-amd64",
        )
    return Fetched(
        found, f"host {release}", modules if (modules / "kernel").is_dir() else None,
        config if config.is_file() else None, (found,),
    )  # fmt: skip

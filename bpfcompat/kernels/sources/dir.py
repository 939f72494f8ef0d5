"""Kernels in folders: `dir:TREE`, a built kernel tree, or an unpacked package or root folder."""

from __future__ import annotations

from dataclasses import replace

from bpfcompat import architecture
from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import image, modules, tree
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.store import Fetched
from bpfcompat.outcome import Classification

LOCAL = True


def fetch(asked: Asked) -> Fetched:
    """Find the kernel in a folder; raises NoVerdict if there is none, or more than one."""
    folder = asked.profile.root / asked.rest
    if not folder.is_dir():
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"there is no folder {folder}.",
            f"correct the profile '{asked.profile.id}'",
        )
    if not modules.is_built(folder):
        found = tree.find(folder, asked.profile.kernel, "")
        watched = modules.watched(found.modules) if found.modules else []
        return replace(found, version=image.version(found.image), watched=(found.image, *watched))
    guest = architecture.of(asked.profile.arch)
    built, config, order = modules.built_image(folder, guest), folder / ".config", folder / "modules.order"
    if built is None:
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"the kernel tree {folder} was built for another architecture than {guest.name}.",
            f"write `arch: {next(one.name for one in architecture.ALL.values() if modules.built_image(folder, one))}`",
        )
    watched = modules.watched(folder) if order.is_file() else []
    return Fetched(
        built, image.version(built), folder if order.is_file() else None, config if config.is_file() else None, (built, *watched)
    )  # fmt: skip

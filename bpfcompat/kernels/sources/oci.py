"""Kernels in container images: `oci:REFERENCE`, laid out as Cilium's ci-kernels are (boot/vmlinuz, lib/modules)."""

from __future__ import annotations

import re

from bpfcompat import architecture
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import image
from bpfcompat.kernels import tree, unpack
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.store import Fetched
from bpfcompat.outcome import Classification


def fetch(asked: Asked) -> Fetched:
    """Fetch an image's layers and unpack the kernel in them; raises NoVerdict."""
    target = asked.folder / "tree"
    try:
        manifest, layers = image.fetched(asked.rest, architecture.of(asked.profile.arch), asked.folder)
    except BpfcompatError as error:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, error.message, error.hint) from error
    target.mkdir()
    for layer in layers:
        unpack.layer(layer, target)
    return tree.find(target, asked.profile.kernel, f"{asked.rest} sha256:{manifest}")


def exact(rest: str, version: str) -> str:
    """Return the name of exactly what was fetched, given the version that `fetch` told of it."""
    name = rest.partition("@")[0]
    return f"{re.sub(r':[^:/]+$', '', name)}@sha256:{version.rpartition(':')[2]}"

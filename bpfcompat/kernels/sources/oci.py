"""Kernels in container images: `oci:REFERENCE`, laid out as Cilium's ci-kernels are (boot/vmlinuz, lib/modules)."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import kit
from bpfcompat.kernels import tree, unpack
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.store import Fetched
from bpfcompat.model import Classification
from bpfcompat.system import digest, host, processes

_LOOPBACK = re.compile(r"(?:localhost|127\.[0-9.]+|\[::1\])(?::[0-9]+)?/")
"""A registry on this machine speaks HTTP, as container tools have it."""


def fetch(asked: Asked) -> Fetched:
    """Fetch an image's layers with skopeo, which checks their digests, and unpack the kernel in them; raises NoVerdict."""
    blobs, target = asked.folder / "image", asked.folder / "tree"
    insecure = ["--src-tls-verify=false"] if _LOOPBACK.match(asked.rest) else []
    platform = ["--override-os", "linux", "--override-arch", "amd64"]
    try:
        processes.check(
            [host.program("skopeo"), *platform, "copy", "-q", *insecure, f"docker://{asked.rest}", f"dir:{blobs}"],
            doing=f"fetching {asked.rest}",
            hint=f"check the name and the network: skopeo inspect docker://{asked.rest}",
        )
    except BpfcompatError as error:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, error.message, error.hint) from error
    manifest = (blobs / "manifest.json").read_bytes()
    target.mkdir()
    for layer in json.loads(manifest)["layers"]:
        unpack.layer(_plain(blobs / layer["digest"].partition(":")[2]), target)
    return tree.find(target, asked.profile.kernel, f"{asked.rest} sha256:{digest.of_bytes(manifest)}")


def exact(rest: str, version: str) -> str:
    """Return the name of exactly what was fetched, given the version that `fetch` told of it."""
    name = rest.partition("@")[0]
    return f"{re.sub(r':[^:/]+$', '', name)}@sha256:{version.rpartition(':')[2]}"


def _plain(layer: Path) -> Path:
    """Return a layer as Python can read it: zstd is not among what tarfile knows before 3.14."""
    with layer.open("rb") as file:
        if file.read(4) != b"\x28\xb5\x2f\xfd":
            return layer
    plain = layer.with_suffix(".tar")
    processes.check([*kit.tool("/usr/bin/zstd"), "-dqo", str(plain), str(layer)], doing="unpacking a layer")
    return plain

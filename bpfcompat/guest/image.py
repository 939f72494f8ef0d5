"""Container images: their layers, and for `guest: {rootfs: oci:REFERENCE}` one tar archive of them."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from bpfcompat.architecture import Architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import kit
from bpfcompat.system import atomic, digest, host, processes

if TYPE_CHECKING:
    import tarfile

PREFIX = "oci:"
_LOOPBACK = re.compile(r"(?:localhost|127\.[0-9.]+|\[::1\])(?::[0-9]+)?/")
"""A registry on this machine speaks HTTP, as container tools have it."""
_GONE, _OPAQUE = ".wh.", ".wh..wh..opq"
"""How a layer says that a name, or all in a folder, is gone (image-spec, layer.md)."""


def archive(reference: str, guest: Architecture, cache: Path, *, offline: bool) -> Path:
    """Return an image's files as a tar archive, fetched with skopeo the first time and then kept.

    guest: the architecture that is wanted of an image with several.
    offline: it may not be fetched.
    Raises BpfcompatError.
    """
    pin = _pin(reference, guest, cache)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = cache / "rootfs" / str(json.loads(pin.read_bytes())["archive"])
        if known.is_file():
            return known
    if offline:
        raise BpfcompatError(
            f"guest.rootfs: {reference} is not here, and --offline forbids fetching it.", "run once without --offline"
        )
    import tarfile

    (cache / "rootfs").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".image.", dir=cache / "rootfs") as name:
        manifest, layers = fetched(reference.removeprefix(PREFIX), guest, Path(name))
        target = cache / "rootfs" / f"oci-{manifest}.tar"
        if not target.exists():
            try:
                with atomic.written(target) as file:
                    _merge(layers, file)
            except (tarfile.TarError, EOFError) as error:
                raise BpfcompatError(f"guest.rootfs: {reference} is damaged: {error}.", "fetch it again") from error
    atomic.write_json(pin, {"reference": reference, "archive": target.name})
    return target


def fetched(reference: str, guest: Architecture, folder: Path) -> tuple[str, list[Path]]:
    """Fetch an image with skopeo, which checks digests; return its manifest's SHA-256, and its layers as Python can read them.

    reference: as skopeo has it behind docker://.
    folder: for the layers.
    Raises BpfcompatError.
    """
    blobs = folder / "image"
    insecure = ["--src-tls-verify=false"] if _LOOPBACK.match(reference) else []
    platform = ["--override-os", "linux", "--override-arch", guest.name]
    processes.check(
        [host.program("skopeo"), *platform, "copy", "-q", *insecure, f"docker://{reference}", f"dir:{blobs}"],
        doing=f"fetching {reference}",
        hint=f"check the name and the network: skopeo inspect docker://{reference}",
    )
    manifest = (blobs / "manifest.json").read_bytes()
    layers = [_plain(blobs / layer["digest"].partition(":")[2]) for layer in json.loads(manifest)["layers"]]
    return digest.of_bytes(manifest), layers


def forget(reference: str, guest: Architecture, cache: Path) -> None:
    """Drop what a reference stood for, so that the next run asks its registry again."""
    _pin(reference, guest, cache).unlink(missing_ok=True)


def _pin(reference: str, guest: Architecture, cache: Path) -> Path:
    return cache / "rootfs" / f"oci-{digest.of_json([reference, guest.name])[:32]}.json"


def _plain(layer: Path) -> Path:
    """Return a layer as Python can read it: zstd is not among what tarfile knows before 3.14."""
    with layer.open("rb") as file:
        if file.read(4) != b"\x28\xb5\x2f\xfd":
            return layer
    plain = layer.with_suffix(".tar")
    processes.check([*kit.tool("/usr/bin/zstd"), "-dqo", str(plain), str(layer)], doing="unpacking a layer")
    return plain


def _merge(layers: list[Path], target: IO[bytes]) -> None:
    """Write one archive of several that lie upon each other: the newest of each name, without what a later one has taken away."""
    import tarfile

    newest: dict[str, int] = {}
    for number, layer in enumerate(layers):
        with tarfile.open(layer) as opened:
            names = [_name(member) for member in opened]
        for name in names:
            path = PurePosixPath(name)
            if path.name == _OPAQUE:
                _take_away(newest, str(path.parent))
            elif path.name.startswith(_GONE):
                gone = str(path.parent / path.name.removeprefix(_GONE))
                newest.pop(gone, None)
                _take_away(newest, gone)
        newest.update({name: number for name in names if not PurePosixPath(name).name.startswith(_GONE)})
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as merged:
        for number, layer in enumerate(layers):
            with tarfile.open(layer) as opened:
                for member in opened:
                    if newest.get(_name(member)) == number:
                        merged.addfile(member, opened.extractfile(member) if member.isreg() else None)


def _name(member: tarfile.TarInfo) -> str:
    return member.name.removeprefix("./").strip("/")


def _take_away(newest: dict[str, int], folder: str) -> None:
    prefix = "" if folder == "." else f"{folder}/"
    for name in [name for name in newest if name.startswith(prefix)]:
        del newest[name]

"""The kernel store: content-addressed folders shared by all projects, and pins from names to them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bpfcompat.architecture import Architecture
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import kit
from bpfcompat.model import Kernel, Origin, Package
from bpfcompat.outcome import Classification
from bpfcompat.system import atomic, digest, disk, processes

FORMAT = 5
"""Counts the layouts of a kernel's folder."""
LAYOUT = 2
"""Counts the layouts of the disk with the modules; a stored kernel of an earlier one is laid out anew."""
GUEST_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
"""What the guest needs to mount its payload, in this order: all Debian cloud kernels from 5.10 to 7.3 have virtio_blk as
a module, and ext4 asks the crypto API for crc32c by a name that no module's `depends=` shows (Debian's full 6.1)."""

HEADERS = "headers.ext4"
"""The disk with a kernel's headers, in its folder; beside it stands what is on it."""

_DISK_MIB = 4096


@dataclass(frozen=True)
class Fetched:
    """A kernel's files as a source found them."""

    image: Path
    version: str
    modules: Path | None = None
    """The folder that holds `kernel/`, or whatever tree of .ko files there is."""
    config: Path | None = None
    watched: tuple[Path, ...] = ()
    """Files of the user's whose change means another kernel; archives do not change."""
    origin: Origin | None = None


def add(cache: Path, address: str, source: str, fetched: Fetched, guest: Architecture) -> Kernel:
    """Copy a kernel into the store, pin `address` to it and return it; raises NoVerdict if it cannot be booted.

    guest: the architecture that it is to be of.
    """
    from bpfcompat.kernels import image, modules, needs  # what a run of stored kernels does not need

    image.refuse_foreign(fetched.image, source, guest)
    stamps = _stamps(fetched.watched)
    packed = fetched.image.read_bytes()
    image_sha256 = digest.of_bytes(packed)
    all_modules = modules.files(fetched.modules) if fetched.modules else {}
    modules_sha256 = digest.of_json([[name, digest.of_file(path)] for name, path in all_modules.items()])
    identity = _identity(image_sha256, modules_sha256)
    target = cache / "kernels" / identity
    if not _read(target, source):
        with atomic.folder(target) as folder:
            kernel = image.unpacked(packed, folder)
            needs.refuse_unfit(kernel, fetched.config, source, guest)
            (folder / "image").write_bytes(kernel)
            release = image.release(kernel) or fetched.version.split()[0]
            loaded = _store_modules(folder, fetched.modules, all_modules, release)
            if fetched.config:
                (folder / "config").write_bytes(fetched.config.read_bytes())
            described = {
                "format": FORMAT,
                "version": fetched.version,
                "release": release,
                "disks": needs.has_disks(kernel, loaded),
                "image_sha256": image_sha256,
                "modules_sha256": modules_sha256,
                "config_sha256": digest.of_file(folder / "config") if fetched.config else "",
                "layout": LAYOUT,
                "compression": modules.compression(all_modules),
            }
            atomic.write_json(folder / "kernel.json", described)
    pin = {"address": address, "source": source, "kernel": identity, "version": fetched.version, "watched": stamps}
    if fetched.origin:
        pin["origin"] = asdict(fetched.origin)
    atomic.write_json(_pin_path(cache, address), pin)
    kernel_found = pinned(cache, address)
    if kernel_found is None:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, f"{source} changed while it was read.", "run again")
    return kernel_found


def _store_modules(folder: Path, tree: Path | None, all_modules: dict[str, Path], release: str) -> list[str]:
    """Keep the modules that the guest needs to mount its disks, decompressed, whose names are returned, and all as a disk."""
    from bpfcompat.kernels import modules

    (folder / "modules").mkdir()
    if tree is None:
        return []
    for index, path in enumerate(modules.closure(tree, GUEST_MODULES)):
        (folder / "modules" / f"{index:02}-{path.name.split('.ko')[0]}.ko").write_bytes(modules.content(path))
    root = folder / "root"
    try:
        modules.copy(all_modules, root / "lib" / "modules" / release)
        _make_disk(root, release, folder / "modules.ext4")
    except BpfcompatError as error:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, error.message, error.hint) from error
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return [path.stem.partition("-")[2] for path in sorted((folder / "modules").iterdir())]


def _make_disk(root: Path, release: str, target: Path) -> None:
    """Index the modules below root/lib/modules as a distribution does, and make the disk of them; raises BpfcompatError."""
    depmod = kit.tool("/usr/sbin/depmod")
    processes.check([*depmod, "-b", str(root), release], doing="listing the modules")
    disk.make(root / "lib", target, _DISK_MIB)


def renewed(cache: Path, address: str) -> Kernel | None:
    """Return the kernel that `address` is pinned to, its modules laid out anew; None unless an earlier version stored it.

    Nothing is fetched: an archive may not have that kernel any more. Raises NoVerdict.
    """
    try:
        pin = json.loads(_pin_path(cache, address).read_text())
        folder = cache / "kernels" / pin["kernel"]
        described = json.loads((folder / "kernel.json").read_text())
        if described["format"] != FORMAT or described.get("layout", 1) >= LAYOUT:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with atomic.locked(cache / "kernels" / f"{pin['kernel']}.lock"):
        config, old = folder / "config", folder / "modules.ext4"
        if old.is_file():
            with tempfile.TemporaryDirectory(prefix=".modules.", dir=cache / "kernels") as name:
                root = Path(name)
                try:
                    disk.unpack(old, root / "lib")
                    _make_disk(root, described["release"], root / "disk")
                except BpfcompatError as error:
                    raise NoVerdict(Classification.KERNEL_UNAVAILABLE, error.message, error.hint) from error
                (root / "disk").replace(old)
        described |= {"layout": LAYOUT, "config_sha256": digest.of_file(config) if config.is_file() else ""}
        atomic.write_json(folder / "kernel.json", described)
    return pinned(cache, address)


def pinned(cache: Path, address: str) -> Kernel | None:
    """Return the kernel that `address` is pinned to, or None."""
    try:
        pin = json.loads(_pin_path(cache, address).read_text())
        if pin["watched"] != _stamps(Path(name) for name in pin["watched"]):
            return None
        found = _read(cache / "kernels" / pin["kernel"], pin["source"], pin["version"])
        return replace(found, origin=_origin(pin["origin"])) if found and "origin" in pin else found
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, torn or foreign: fetched anew


def _origin(said: dict[str, Any]) -> Origin:
    return Origin(tuple(map(package, said["packages"])), said["keyring"])


def package(said: dict[str, Any]) -> Package:
    """Return a package as it is kept in JSON; raises KeyError, TypeError."""
    return Package(**{**said, "archive": tuple(said["archive"])})


def held(cache: Path, source: str, version: str, image_sha256: str, modules_sha256: str) -> Kernel | None:
    """Return a kernel by what it holds, if it is in the store."""
    return _read(cache / "kernels" / _identity(image_sha256, modules_sha256), source, version)


def _identity(image_sha256: str, modules_sha256: str) -> str:
    return digest.of_json([FORMAT, GUEST_MODULES, image_sha256, modules_sha256])


def unpin(cache: Path, address: str) -> None:
    """Forget what `address` is pinned to."""
    _pin_path(cache, address).unlink(missing_ok=True)


def use(kernel: Kernel) -> None:
    """Remember that a kernel was booted just now."""
    with contextlib.suppress(OSError):  # a cache that is not ours to write
        os.utime(kernel.image.parent / "kernel.json")


def prune(cache: Path, days: int) -> tuple[int, int]:
    """Drop the kernels that were not booted for so many days, and the initramfs that were not packed since.

    Either is made again when it is needed, as long as its source has it. Returns how many kernels, and the bytes of all.
    """
    before = time.time() - days * 86400
    dropped = [path for path in (cache / "kernels").glob("[0-9a-f]*") if _used(path) < before]
    packed = [path for path in (cache / "initramfs").glob("*.cpio") if path.stat().st_mtime < before]
    files = [*packed, *(file for folder in dropped for file in folder.rglob("*"))]
    freed = sum(file.lstat().st_blocks * 512 for file in files)
    for path in packed:
        path.unlink(missing_ok=True)
    for folder in dropped:
        shutil.rmtree(folder, ignore_errors=True)
    return len(dropped), freed


def _used(folder: Path) -> float:
    try:
        return (folder / "kernel.json").stat().st_mtime
    except OSError:
        return folder.stat().st_mtime


def _pin_path(cache: Path, address: str) -> Path:
    return cache / "pins" / f"{digest.of_json([FORMAT, address])[:32]}.json"


def _read(folder: Path, source: str, version: str | None = None) -> Kernel | None:
    try:
        described = json.loads((folder / "kernel.json").read_text())
        if described["format"] != FORMAT or described.get("layout") != LAYOUT or not (folder / "image").is_file():
            return None
        return Kernel(
            source=source,
            version=version or described["version"],
            image=folder / "image",
            image_sha256=described["image_sha256"],
            modules=tuple(sorted((folder / "modules").iterdir())),
            modules_sha256=described["modules_sha256"],
            release=described["release"],
            has_disks=described["disks"],
            modules_disk=_if_there(folder / "modules.ext4"),
            config=_if_there(folder / "config"),
            config_sha256=described["config_sha256"],
            headers_disk=_if_there(folder / HEADERS),
            headers_sha256=_headers_sha256(folder),
        )
    except (OSError, ValueError, KeyError):
        return None


def _headers_sha256(folder: Path) -> str:
    stamp = folder / f"{HEADERS}.json"
    return str(json.loads(stamp.read_bytes())["sha256"]) if stamp.is_file() else ""


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _stamps(paths: Iterable[Path]) -> dict[str, list[int]]:
    """What tells two states of a file apart without reading it; a change time cannot be set back, unlike an mtime."""
    found = ((path, path.stat()) for path in paths)
    return {
        str(path): [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino] for path, status in found
    }

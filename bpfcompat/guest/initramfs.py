"""The guest's userland as a reproducible newc archive: init, a static bash, busybox, and the kernel's modules."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpfcompat.system import digest

FORMAT = 4
"""Counts the layouts below, so that a change of this module changes the digest."""

_FOLDERS = (
    "bin", "bpfcompat", "bpfcompat/payload", "bpfcompat/tools", "bpfcompat/modules", "bpfcompat/rootfs",
    "bpfcompat/root", "bpfcompat/upper", "bpfcompat/work", "dev", "etc",
    "lib", "modules", "proc", "root", "run", "sys", "tmp", "usr", "usr/local", "usr/local/bin", "var",
)  # fmt: skip
_LINKS = {
    "sbin": "bin",
    "usr/bin": "../bin",
    "usr/sbin": "../bin",
    "var/run": "../run",
    "var/tmp": "../tmp",
    "etc/mtab": "/proc/self/mounts",
    "lib/modules": "/bpfcompat/modules/modules",
}
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost bpfcompat\n::1 localhost\n",
}


@dataclass(frozen=True)
class Userland:
    """The files that every initramfs shares."""

    init: Path
    bash: Path
    busybox: Path

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each file, hex."""
        return {
            name: digest.of_file(path)
            for name, path in (("init", self.init), ("bash", self.bash), ("busybox", self.busybox))
        }


def identity(userland_digests: dict[str, str], modules_sha256: str) -> str:
    """Return what an initramfs is known by: all that goes into it."""
    return digest.of_json({"format": FORMAT, "userland": userland_digests, "modules": modules_sha256})


def pack(userland: Userland, applets: Iterable[str], modules: Sequence[Path]) -> bytes:
    """Return the archive, uncompressed: unpacking it is guest time, and guests may be emulated.

    applets: the names under which busybox is called.
    """
    entries = {name: _Entry(stat.S_IFDIR | 0o755) for name in _FOLDERS}
    entries["dev/console"] = _Entry(stat.S_IFCHR | 0o600, device=(5, 1))
    entries.update({f"bin/{name}": _Entry(stat.S_IFLNK | 0o777, b"busybox") for name in applets})
    entries.update({name: _Entry(stat.S_IFLNK | 0o777, target.encode()) for name, target in _LINKS.items()})
    entries.update({name: _Entry(stat.S_IFREG | 0o644, text.encode()) for name, text in _TEXTS.items()})
    entries.update({f"modules/{path.name}": _Entry(stat.S_IFREG | 0o644, path.read_bytes()) for path in modules})
    for name, path in (("init", userland.init), ("bin/bash", userland.bash), ("bin/busybox", userland.busybox)):
        entries[name] = _Entry(stat.S_IFREG | 0o755, path.read_bytes())
    return archive(sorted(entries.items()))


def of_tree(tree: Path, name: str) -> bytes:
    """Return an archive of everything below a folder; the kernel unpacks several that stand one behind the other.

    name: of the folder in the guest, without the first slash.
    """
    entries = {}
    for path in sorted(tree.rglob("*")):
        mode = path.lstat().st_mode
        data = os.fsencode(path.readlink()) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else b""
        entries[f"{name}/{path.relative_to(tree)}"] = _Entry(mode, data)
    return archive(sorted(entries.items()))


@dataclass(frozen=True)
class _Entry:
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def archive(entries: Iterable[tuple[str, _Entry]]) -> bytes:
    """Return a newc archive (Documentation/driver-api/early-userspace/buffer-format.rst); times and owners are 0."""
    parts: list[bytes] = []
    for inode, (name, entry) in enumerate([*entries, ("TRAILER!!!", _Entry(0))], start=1):
        path = os.fsencode(name) + b"\0"
        numbers = (inode, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(path), 0)
        header = b"070701" + b"".join(b"%08x" % number for number in numbers) + path
        parts += [header, bytes(-len(header) % 4), entry.data, bytes(-len(entry.data) % 4)]
    return b"".join(parts)

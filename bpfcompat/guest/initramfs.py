"""The guest's userland as a reproducible newc archive: init, bash, busybox, /etc, and the kernel's modules and configuration."""

from __future__ import annotations

import stat
from pathlib import Path

from bpfcompat.guest import archive
from bpfcompat.guest.archive import Entry
from bpfcompat.guest.kit import Kit
from bpfcompat.model import Kernel
from bpfcompat.system import digest

FORMAT = 6
"""Counts the layouts below, so that a change of this module changes the digest."""

_FOLDERS = (
    "bin", "boot", "bpfcompat", "bpfcompat/payload", "bpfcompat/tools", "bpfcompat/modules", "bpfcompat/headers", "bpfcompat/rootfs",
    "bpfcompat/root", "bpfcompat/upper", "bpfcompat/work", "dev", "etc", "home",
    "lib", "lib/modules", "media", "mnt", "modules", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "usr/local",
    "usr/local/bin", "var", "var/cache", "var/lib", "var/log", "var/spool",
)  # fmt: skip
_LINKS = {
    "sbin": "bin",
    "usr/bin": "../bin",
    "usr/sbin": "../bin",
    "var/run": "../run",
    "var/tmp": "../tmp",
    "etc/mtab": "/proc/self/mounts",
    "bpfcompat/modprobe": "/bin/busybox",
}
_TEXTS = {
    "etc/hosts": "127.0.0.1 localhost bpfcompat\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/hostname": "bpfcompat\n",
    "etc/resolv.conf": "",
    "etc/nsswitch.conf": "".join(
        f"{name}: files{' dns' if name == 'hosts' else ''}\n"
        for name in ("passwd", "group", "shadow", "hosts", "networks", "protocols", "services")
    ),
    "etc/machine-id": "6270666370746d6163686e6569640000\n",
    "etc/os-release": 'NAME="bpfcompat guest"\nPRETTY_NAME="bpfcompat guest"\nID=bpfcompat\nID_LIKE=debian\n',
    "etc/shells": "/bin/sh\n/bin/bash\n",
}
"""Beside what the kit has of Debian's base-passwd and netbase."""


def identity(kit: Kit, kernel: Kernel) -> str:
    """Return what an initramfs is known by: all that goes into it."""
    parts = {"format": FORMAT, "kit": kit.identity, "modules": kernel.modules_sha256, "config": kernel.config_sha256}
    return digest.of_json({**parts, "release": kernel.release})


def pack(kit: Kit, kernel: Kernel) -> bytes:
    """Return the archive, uncompressed: unpacking it is guest time, and guests may be emulated."""
    entries = {name: Entry(stat.S_IFDIR | 0o755) for name in _FOLDERS}
    entries["dev/console"] = Entry(stat.S_IFCHR | 0o600, device=(5, 1))
    entries.update({f"bin/{name}": Entry(stat.S_IFLNK | 0o777, b"busybox") for name in applets(kit)})
    entries.update({name: Entry(stat.S_IFLNK | 0o777, target.encode()) for name, target in _LINKS.items()})
    entries.update({f"etc/{path.name}": _file(path) for path in kit.etc.iterdir()})
    entries.update({name: Entry(stat.S_IFREG | 0o644, text.encode()) for name, text in _TEXTS.items()})
    entries.update({f"modules/{path.name}": _file(path) for path in kernel.modules})
    if kernel.config:
        entries[f"boot/config-{kernel.release}"] = _file(kernel.config)
    for name, path in (("init", kit.init), ("bin/bash", kit.bash), ("bin/busybox", kit.busybox)):
        entries[name] = _file(path, 0o755)
    return archive.pack(sorted(entries.items()))


def applets(kit: Kit) -> list[str]:
    """Return the names under which busybox is called: where a tool of the kit does the same, that is taken."""
    return sorted(set(kit.applets) - {Path(name).name for name in kit.programs})


def programs(kit: Kit) -> frozenset[str]:
    """Return the names of all programs of a guest."""
    return frozenset({"bash", "busybox", *kit.applets, *(Path(name).name for name in kit.programs)})


def _file(path: Path, mode: int = 0o644) -> Entry:
    return Entry(stat.S_IFREG | mode, path.read_bytes())

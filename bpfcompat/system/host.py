"""What this machine has: programs, memory, processors."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import sys
from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic, processes

_OS_RELEASE = Path("/etc/os-release")
_INSTALL = {
    "debian": "apt-get install", "fedora": "dnf install", "arch": "pacman -S", "suse": "zypper install", "darwin": "brew install",
}  # fmt: skip
"""Families of distributions, and how each installs a package."""
_PACKAGES = {
    "qemu-system-x86_64": {"debian": "qemu-system-x86", "fedora": "qemu-system-x86-core", "arch": "qemu-system-x86",
                           "suse": "qemu-x86", "darwin": "qemu"},
    "qemu-system-aarch64": {"debian": "qemu-system-arm", "fedora": "qemu-system-aarch64-core", "arch": "qemu-system-aarch64",
                            "suse": "qemu-arm", "darwin": "qemu"},
    "mke2fs": dict.fromkeys(_INSTALL, "e2fsprogs"),
    "debugfs": dict.fromkeys(_INSTALL, "e2fsprogs"),
    "gcc": {"debian": "gcc libc6-dev", "fedora": "gcc glibc-static"},
    "bsdtar": {"debian": "libarchive-tools", "fedora": "bsdtar", "arch": "libarchive", "suse": "bsdtar", "darwin": "libarchive"},
    "rpmkeys": dict.fromkeys(_INSTALL, "rpm"),
    "gpg": {"debian": "gpg", "fedora": "gnupg2", "arch": "gnupg", "suse": "gpg2", "darwin": "gnupg"},
    "dnf": {"debian": "dnf dnf-plugins-core"},
    "dpkg-deb": dict.fromkeys(_INSTALL, "dpkg"),
}  # fmt: skip
"""The package of a program, by family, where it is not named like it."""


@functools.cache
def family() -> str:
    """Return the family of distributions that this machine is of: a key of _INSTALL, Debian's where that is not known."""
    if sys.platform == "darwin":
        return "darwin"
    try:
        words = " ".join(re.findall(r'^(?:ID|ID_LIKE)="?([^"\n]*)"?$', _OS_RELEASE.read_text(), re.MULTILINE)).split()
    except OSError:
        words = []
    known = {
        **{name: name for name in _INSTALL},
        "ubuntu": "debian",
        "rhel": "fedora",
        "centos": "fedora",
        "opensuse": "suse",
    }
    return next((known[word] for word in words if word in known), "debian")


def install(name: str) -> str:
    """Return the command that installs a program here."""
    return f"{_INSTALL[family()]} {_PACKAGES.get(name, {}).get(family(), name)}"


def boot_id() -> str:
    """Return what tells this boot of this machine from all others; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def cache_folder() -> Path:
    """Return the folder that all projects share: $BPFCOMPAT_CACHE, else bpfcompat below $XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("BPFCOMPAT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(chosen).absolute() if chosen else Path(base).absolute() / "bpfcompat"


@functools.cache
def program(name: str) -> str:
    """Return the path of a program; raises BpfcompatError with the command that installs it."""
    # mke2fs stands in /sbin, which is not in the PATH of a Debian user.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if not found:
        raise BpfcompatError(f"the program {name} is not installed.", install(name))
    return found


def processor() -> str:
    """Return what tells this processor from others as far as a machine with KVM is shaped by it."""
    first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    return "\n".join(re.findall(r"^(?:model name|microcode|flags)\s*:.*$", first, re.MULTILINE))


def stamp(path: Path) -> list[str | int]:
    """Return what tells two states of a file apart without reading it: a change time cannot be set back, unlike an mtime."""
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns]


@functools.cache
def qemu_version(name: str) -> str:
    """Return the version text of an installed QEMU, asked once per binary; empty if there is none.

    name: of the program, like qemu-system-x86_64.
    """
    try:
        binary = Path(program(name)).resolve()
    except BpfcompatError:
        return ""
    memo = cache_folder() / f"{name}.json"
    try:
        known = json.loads(memo.read_bytes())
        if known["binary"] == stamp(binary):
            return str(known["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        said = processes.check([str(binary), "--version"], doing="asking QEMU for its version").decode(errors="replace")
    except BpfcompatError:
        return ""  # whoever runs it will say why it cannot run
    version = re.search(r"version (\S+(?: \(.*\))?)", said)
    found = version[1] if version else said.splitlines()[0]
    with contextlib.suppress(OSError):  # then it is asked again next time
        atomic.write_json(memo, {"binary": stamp(binary), "version": found})
    return found


KERNEL_VARIABLE = "BPFCOMPAT_KERNEL"
BOOT_IMAGES_VARIABLE = "BPFCOMPAT_BOOT_IMAGES"


def boot_images_bytes() -> int:
    """Return how much disk boot images may take, in bytes: $BPFCOMPAT_BOOT_IMAGES, else 4G."""
    return size(os.environ.get(BOOT_IMAGES_VARIABLE) or "4G", BOOT_IMAGES_VARIABLE)


def size(text: str, name: str) -> int:
    """Return a size like 500M or 4G in bytes; raises BpfcompatError.

    name: of the flag or variable that it was given by.
    """
    found = re.fullmatch(r"(\d+)([MG])", text)
    if not found:
        raise BpfcompatError(f"{name}: '{text}' is not a size.", "write for instance 500M or 4G")
    return int(found[1]) << {"M": 20, "G": 30}[found[2]]


def memory_available_mib() -> int:
    """Return the memory that new programs can have, in MiB (MemAvailable)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 1024


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def jobs(guest_mib: int) -> int:
    """Return how many guests can run at once: one a processor, as long as memory lasts.

    guest_mib: MiB of the largest guest.
    """
    return max(1, min(processors(), guests_in_memory(guest_mib)))


def guests_in_memory(guest_mib: int) -> int:
    """Return how many guests the memory has room for that is there now.

    guest_mib: MiB of the largest guest.
    """
    # QEMU itself takes about 60 MiB beside the guest's memory (7.2, q35).
    return int(memory_available_mib() * 0.8) // (guest_mib + 64)

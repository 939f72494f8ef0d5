"""The programs that every guest has beside bash and busybox, out of Debian's packages, with the libraries that they need."""

from __future__ import annotations

import shutil
from pathlib import Path

from bpfcompat.architecture import Architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.system import elf

TOOLS = {
    "usr/sbin/bpftool": "usr/sbin/bpftool",
    "usr/sbin/ip": "bin/ip",  # busybox's ip and tc know neither BPF nor how to name both ends of a veth pair
    "usr/sbin/tc": "sbin/tc",
    "usr/sbin/kmod": "bin/kmod",
    "usr/bin/timeout": "usr/bin/timeout",  # says 124 of a command that it has ended
    "usr/bin/nohup": "usr/bin/nohup",
    "usr/bin/script": "usr/bin/script",
    "usr/bin/free": "usr/bin/free",
    "usr/bin/dmesg": "bin/dmesg",  # busybox's has neither --time-format nor -H
    "usr/bin/lz4": "usr/bin/lz4",  # these two unpack kernels and modules, on the host
    "usr/bin/zstd": "usr/bin/zstd",
    "usr/bin/ldd": "usr/bin/ldd",
}
"""Path in the guest -> path in its package."""
_KMOD = ("depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod")


def names() -> list[str]:
    """Return the programs, by their paths in the guest."""
    return sorted([f"/{name}" for name in TOOLS] + [f"/usr/sbin/{name}" for name in _KMOD])


def collect(packages: Path, target: Path, guest: Architecture) -> None:
    """Copy the tools with all that they are linked with; raises BpfcompatError if a library is in none of the packages.

    packages: a folder in which the packages are unpacked.
    target: new; it becomes what goes onto the guest's root.
    """
    queue = [_copied(packages / source, target / name) for name, source in TOOLS.items()]
    for name in _KMOD:
        (target / "usr/sbin" / name).symlink_to("kmod")
    libraries, linker = Path("lib", guest.triplet), Path(guest.linker)
    _copied(packages / libraries / linker.name, target / linker)
    while queue:
        for name in _needed(queue.pop()):
            place = target / libraries / name
            if not place.exists() and name != linker.name:
                queue.append(_copied(_library(packages, guest.triplet, name), place))


def _copied(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)
    return target


def _needed(program: Path) -> list[str]:
    """Return the names of the libraries that a program is linked with; none for a script."""
    with program.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return []
        file.seek(0)
        with elf.opened(file) as opened:
            dynamic = opened.get_section_by_name(".dynamic")
            return [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")] if dynamic else []


def _library(packages: Path, triplet: str, name: str) -> Path:
    for folder in ("lib", "usr/lib"):
        path = packages / folder / triplet / name
        if path.exists():
            return path
    raise BpfcompatError(f"no package of the kit has {name}.", "add its package to TOOLS in guest/kit/lock.py")

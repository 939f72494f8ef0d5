"""Building the guest's userland on this machine: init from its C source, bash and busybox from the distribution."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import tools
from bpfcompat.guest.initramfs import Userland
from bpfcompat.system import digest, elf, host, processes

SOURCES = Path(__file__).with_name("init")
FLAGS = ("-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror")


def init_path(cache: Path) -> Path:
    """Return where the compiled init is kept: by the digest of its source and flags."""
    return cache / "guest" / f"init-{digest.of_json([*texts(SOURCES), FLAGS])[:32]}"


def texts(sources: Path) -> list[str]:
    """Return the text of each part of a C program, in a fixed order."""
    return [path.read_text() for path in sorted(sources.glob("*.[ch]"))]


def compile_init(target: Path) -> None:
    """Compile init to a static program; raises BpfcompatError with the compiler's words."""
    target.parent.mkdir(parents=True, exist_ok=True)
    compiler = host.program("gcc")
    with tempfile.TemporaryDirectory(prefix=".init.", dir=target.parent) as folder:
        built = Path(folder) / "init"
        processes.check(
            [compiler, *FLAGS, "-o", str(built), str(SOURCES / "main.c")],
            doing="compiling the guest's init",
            hint="it needs gcc and a static C library: apt-get install gcc libc6-dev",
        )
        built.replace(target)


def userland(cache: Path) -> Userland:
    """Return the files that every guest is made of; raises BpfcompatError with the package to install."""
    return Userland(init_path(cache), Path(host.program("bash-static")), Path(host.program("busybox")))


def programs(busybox: Path) -> frozenset[str]:
    """Return the names of all programs in the guest's /bin; raises BpfcompatError."""
    return frozenset({"bash", "busybox", *tools.NAMES, *applets(busybox)})


@functools.cache
def applets(busybox: Path) -> list[str]:
    """Return the names of busybox's programs; raises BpfcompatError if it is not the static one."""
    with busybox.open("rb") as file, elf.opened(file) as program:
        if any(program.iter_segments("PT_INTERP")):
            raise BpfcompatError(
                f"{busybox} is not a static program, so it cannot run in the guest.", "apt-get install busybox-static"
            )
    listed = processes.check([str(busybox), "--list"], doing="listing busybox's programs").decode().split()
    return sorted({name for name in listed if "/" not in name} - {"busybox", "bash", *tools.NAMES})

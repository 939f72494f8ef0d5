"""Can a loader run in a guest at all? What can be seen here is refused here, and never sold as a kernel's failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from bpfcompat import architecture
from bpfcompat.architecture import AMD64, Architecture
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import NoVerdict
from bpfcompat.guest.rootfs import Rootfs
from bpfcompat.outcome import Classification
from bpfcompat.system import elf

_FOLDERS = {"/bin", "/sbin", "/usr/bin", "/usr/sbin"}
"""Where the guest has its programs; they are one folder there."""
_LINE_AT_MOST = 256
"""Bytes of a script's first line that Linux looks at (BINPRM_BUF_SIZE)."""


@dataclass(frozen=True)
class Userland:
    """What a loader finds in the guest."""

    programs: Callable[[], frozenset[str]]
    """Names in its /bin; asked for scripts only."""
    rootfs: Rootfs | None = None
    """What stands there instead, if the project has a userland of its own."""
    guest: Architecture = AMD64


def check_loader(path: Path, content: Path, bundled: bool, userland: Userland) -> None:
    """Look at a binary before any boot.

    path: as the user named it.
    content: the file to read, which may be a copy.
    bundled: its libraries are shipped with it.
    Raises NoVerdict (LOADER_NOT_RUNNABLE) for one that no kernel could run in the guest.
    """
    with content.open("rb") as file:
        head = file.read(_LINE_AT_MOST)
    if not head:
        raise _refusal(path, "is empty", "build it again")
    if head[:2] == b"#!":
        _check_script(path, head, userland)
    elif head[:4] != b"\x7fELF":
        raise _refusal(path, "is neither an ELF program nor a script with #!", "name the program that your build makes")
    else:
        _check_program(path, content, bundled, userland)


def _check_script(path: Path, head: bytes, userland: Userland) -> None:
    line = head[2:].split(b"\n")[0].decode(errors="replace")
    if line.endswith("\r"):
        raise _refusal(path, "is a script with the line ends of Windows", "convert it: sed -i 's/\\r$//' FILE")
    words = line.split()
    if not words:
        raise _refusal(path, "is a script whose first line names no interpreter", "write #!/bin/bash there")
    wanted = PurePosixPath(words[0])
    if userland.rootfs:
        if not userland.rootfs.holds(str(wanted)):
            raise _refusal(path, f"is a script for {wanted}, which guest.rootfs does not have", "put it there")
        return
    programs = userland.programs
    found = str(wanted.parent) in _FOLDERS and wanted.name in programs()
    if found and wanted.name == "env" and len(words) > 1:
        wanted = PurePosixPath(next((word for word in words[1:] if not word.startswith("-")), "env"))
        found = wanted.name in programs()
    if not found:
        raise _refusal(
            path,
            f"is a script for {wanted}, which the guest does not have",
            "write it for /bin/bash, or ship a program",
        )


def _check_program(path: Path, content: Path, bundled: bool, userland: Userland) -> None:
    rootfs, guest = userland.rootfs, userland.guest
    program, wanted, libraries = _read(path, content)
    machine, kind = program.header.e_machine, program.header.e_type
    if machine == "EM_386" or program.elfclass == 32:
        raise _refusal(path, "is a 32-bit program, which not every kernel here can run", f"build it for {guest.name}")
    if machine != guest.elf:
        raise _foreign(path, str(machine), guest)
    if kind == "ET_REL":
        raise _refusal(path, "is an object file, not a program", "ship it as the artifact")
    if kind not in ("ET_EXEC", "ET_DYN"):
        raise _refusal(path, "is not a program", "name the program that your build makes")
    if wanted and rootfs and not bundled:
        lacking = (
            [wanted] if not rootfs.holds(wanted) else [name for name in libraries if not rootfs.holds_library(name)]
        )
        if lacking:
            raise _refusal(
                path,
                f"needs {', '.join(lacking)}, which guest.rootfs does not have",
                f"put it there, or {_static(guest)}",
            )
    elif wanted and not bundled:
        why = f"needs {wanted} and shared libraries, which the guest does not have"
        raise _refusal(path, why, f"{_static(guest)}, or ship them with it: `bundle_libs: true` (--bundle-libs)")


def _static(guest: Architecture) -> str:
    return f"link it statically (`cc -static`, `CGO_ENABLED=0 go build`, cargo's target {guest.rust})"


def _foreign(path: Path, machine: str, guest: Architecture) -> NoVerdict:
    """Return the refusal of a program for another architecture, with the profiles that would fit it."""
    own = next((one for one in architecture.ALL.values() if one.elf == machine), None)
    name = own.name if own else machine.removeprefix("EM_")
    hint = f"build it for {guest.name}"
    if own:
        fitting = f"{{id: debian-12-6.1-{name}, kernel: apt:bookworm/linux-image-cloud-{name}}}"
        hint = f"take profiles that fit it, for instance {fitting}, or {hint}"
    message = f"{path} is a program for {name}, and this kernel is for {guest.name}."
    return NoVerdict(Classification.LOADER_NOT_RUNNABLE, message, hint)


def interpreter(path: Path) -> str | None:
    """Return the dynamic linker that a program names; None for a static one, for a script, and for what is no program."""
    with path.open("rb") as file:
        is_elf = file.read(4) == b"\x7fELF"
    return _read(path, path)[1] if is_elf else None


def _read(path: Path, content: Path) -> tuple[Any, str | None, list[str]]:
    """Return an ELF file's description, the dynamic linker that it names, and the libraries."""
    try:
        with content.open("rb") as file, elf.opened(file) as program:
            linker = next((part.get_interp_name() for part in program.iter_segments("PT_INTERP")), None)
            tags = (tag for part in program.iter_segments("PT_DYNAMIC") for tag in part.iter_tags("DT_NEEDED"))
            return program, linker, [str(tag.needed) for tag in tags] if linker else []
    except elf.DamagedElf as error:
        raise _refusal(path, f"is a damaged ELF file ({error})", "build it again") from error


def _refusal(path: Path, why: str, hint: str) -> NoVerdict:
    return NoVerdict(Classification.LOADER_NOT_RUNNABLE, f"{path} cannot run on any kernel here: it {why}.", hint)

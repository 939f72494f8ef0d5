"""Can a loader run in a guest at all? What can be seen here is refused here, and never sold as a kernel's failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bpfcompat.errors import BpfcompatError

_STATIC = "link it statically: `cc -static`, `CGO_ENABLED=0 go build`, or cargo's target x86_64-unknown-linux-musl"


def check_loader(path: Path) -> None:
    """Raise BpfcompatError for a binary that no kernel of this architecture could run in the guest."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        head = file.read(4)
        if not head:
            raise _refusal(path, "is empty", "build it again")
        if head[:2] == b"#!":
            return
        if head != b"\x7fELF":
            raise _refusal(
                path, "is neither an ELF program nor a script with #!", "name the program that your build makes"
            )
        try:
            program: Any = ELFFile(file)
            machine = program.header.e_machine
            interpreter = next((part.get_interp_name() for part in program.iter_segments("PT_INTERP")), None)
        except (ELFError, ValueError, AssertionError, UnicodeDecodeError) as error:
            raise _refusal(path, f"is a damaged ELF file ({error})", "build it again") from error
    if machine not in ("EM_X86_64", "EM_386"):
        raise _refusal(
            path, f"is a program for {machine.removeprefix('EM_')}, and the kernels are x86-64", "build it for x86-64"
        )
    if program.header.e_type == "ET_REL":
        raise _refusal(path, "is an object file, not a program", "ship it as the artifact")
    if interpreter:
        raise _refusal(path, f"needs {interpreter} and shared libraries, which the guest does not have", _STATIC)


def _refusal(path: Path, why: str, hint: str) -> BpfcompatError:
    return BpfcompatError(f"binary: {path} cannot run on any kernel here: it {why}.", hint)

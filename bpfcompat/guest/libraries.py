"""The shared libraries of a dynamic program, as its own dynamic linker finds them on this machine."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.errors import NoVerdict
from bpfcompat.outcome import Classification
from bpfcompat.system import processes

_FOUND = re.compile(r"^\s*(\S+) => (/.+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_MISSING = re.compile(
    r"error while loading shared libraries: ([^:\s]+): cannot open|Error loading shared library ([^:\s]+):"
)
"""As glibc and musl say it."""
_RELEASE = re.compile(rb"GNU C Library [^\n]* release version (\d+)\.(\d+)")
"""As the library says it when it is run as a program."""


def closure(program: Path, interpreter: str, guest: Architecture) -> dict[str, Path]:
    """Return the dynamic linker and every library that a program is linked with: path in the guest -> file here.

    The linker is asked with --list, which loads the program and does not run it; both glibc and musl know that. Each
    library stands at its own path and beside the C library, where a linker looks without any configuration.

    guest: the architecture of the guest.
    Raises NoVerdict (LOADER_NOT_RUNNABLE) if the linker or a library is not on this machine.
    """
    if guest is not architecture.host():
        raise _unavailable(
            f"{program} would need the shared libraries of {guest.name}, which this machine does not have."
        )
    # A program names what is run here to list it, so that must be a linker.
    linkers = rf"/(?:usr/)?lib(?:64|/{guest.triplet})?/{guest.linkers}"
    if not re.fullmatch(linkers, interpreter) or not Path(interpreter).exists():
        raise _unavailable(f"{program} needs {interpreter}, which is not a dynamic linker of this machine.")
    result = processes.run([interpreter, "--list", str(program.resolve())], env={})
    said = (result.stdout + result.stderr).decode(errors="replace")
    if missing := _MISSING.search(said):
        raise _unavailable(f"{program} needs {missing[1] or missing[2]}, which is not on this machine.")
    if result.returncode:
        raise _unavailable(f"the libraries of {program} cannot be found: {said.strip() or result.returncode}")
    libraries = {found[1]: Path(os.path.normpath(found[2])) for found in _FOUND.finditer(said)}
    standard = next((path.parent for name, path in libraries.items() if re.match(r"libc\.", name)), Path("/lib"))
    placed = {str(standard / name.rpartition("/")[2]): path for name, path in libraries.items()}
    return {interpreter: Path(interpreter), **placed, **{str(path): path for path in libraries.values()}}


def c_library(found: Mapping[str, Path]) -> tuple[int, int]:
    """Return the version of glibc among a program's libraries; (0, 0) if it is linked with another C library, or with none."""
    path = next((path for name, path in found.items() if name.endswith("/libc.so.6")), None)
    return _version(path) if path else (0, 0)


@functools.cache
def _version(library: Path) -> tuple[int, int]:
    found = _RELEASE.search(library.read_bytes())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _unavailable(message: str) -> NoVerdict:
    hint = "install the library, or link the loader statically"
    return NoVerdict(Classification.LOADER_NOT_RUNNABLE, message, hint)

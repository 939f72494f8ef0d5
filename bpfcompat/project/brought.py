"""What a project brings into its guests: files, programs, variables, a userland; the same rules for a file and for flags."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import host

_NO_PLACE = ("proc", "sys", "dev", "bpfcompat")
_SET_BY_US = ("BPFCOMPAT_BIN", "BPFCOMPAT_ARTIFACT", "BPFCOMPAT_REMOTE_ROOT")


def place(path: str, where: object) -> str:
    """Return an absolute path of the guest; raises BpfcompatError for a place where nothing can be copied to.

    where: the line or the flag that names it.
    """
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or parts[0] != "/" or ".." in parts or parts[1] in _NO_PLACE:
        raise BpfcompatError(
            f"{where}: nothing can be copied to {path} in a guest.",
            "name a path outside /proc, /sys, /dev and /bpfcompat, without `..`",
        )
    return os.path.normpath(path)


def variable(name: str, where: object) -> str:
    """Return the name of an environment variable; raises BpfcompatError for one that bpfcompat sets, or that is none."""
    if name in _SET_BY_US:
        raise BpfcompatError(f"{where}: {name} is set by bpfcompat itself.", "give it another name")
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        raise BpfcompatError(f"{where}: '{name}' is not the name of a variable.", "write NAME=VALUE")
    return name


def tool(name: str, root: Path) -> Path:
    """Return a program of the project's, or of this machine; raises BpfcompatError for one that is not installed."""
    return root / name if "/" in name else Path(host.program(name))


def rootfs(name: str | None, root: Path) -> Path | str | None:
    """Return a userland: a folder or an archive of the project's, or a container image's reference."""
    return name if name is None or name.startswith("oci:") else root / name

"""The lock file beside a matrix: what each profile's kernel was, so that every run boots exactly that."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels.store import package
from bpfcompat.model import Kernel, Origin, Package
from bpfcompat.system import atomic, destination

_FORMAT = 2
_READ = (1, 2)
"""Format 1 has no packages."""


@dataclass(frozen=True)
class Locked:
    """A kernel that a profile is locked to."""

    kernel: str
    """As the matrix names it."""
    version: str
    image_sha256: str
    modules_sha256: str
    packages: tuple[Package, ...] = ()
    """Of a vendor's kernel: what it came out of."""
    keyring: str = ""
    """What vouched for these when they were locked."""

    def holds(self, kernel: Kernel) -> bool:
        """Tell whether a kernel is the one that is meant."""
        return (kernel.image_sha256, kernel.modules_sha256) == (self.image_sha256, self.modules_sha256)


Locks = dict[str, Locked]
"""By the profile's id."""


def of(kernel: Kernel) -> Locked:
    """Return what locks a profile to a kernel."""
    origin = kernel.origin or Origin((), "")
    return Locked(
        kernel.source, kernel.version, kernel.image_sha256, kernel.modules_sha256, origin.packages, origin.keyring
    )


def read(path: Path | None) -> Locks:
    """Read a lock file; there is nothing locked where there is none. Raises BpfcompatError if it is damaged."""
    if path is None or not path.exists():
        return {}
    try:
        value = json.loads(path.read_bytes())
        if value["format"] not in _READ:
            raise BpfcompatError(f"{path} is of format {value['format']}; this version reads {_FORMAT}.", f"rm {path}")
        return {name: _locked(row) for name, row in value["profiles"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BpfcompatError(
            f"{path} is not a lock file, or is damaged.",
            f"restore it, or make it anew: rm {path}; bpfcompat kernels lock",
        ) from error


def _locked(row: dict[str, Any]) -> Locked:
    return Locked(**{**row, "packages": tuple(map(package, row.get("packages", ())))})


def _written(row: Locked) -> dict[str, Any]:
    return {key: value for key, value in asdict(row).items() if value or key not in ("packages", "keyring")}


def write(path: Path, locks: Locks) -> None:
    """Write a lock file; raises BpfcompatError if it cannot be written."""
    try:
        text = atomic.json_text({"format": _FORMAT, "profiles": {name: _written(row) for name, row in locks.items()}})
        destination.write(path, text.encode(errors="replace"))
    except OSError as error:
        raise BpfcompatError(f"{path} cannot be written: {error.strerror}.") from error

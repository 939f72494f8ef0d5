"""Many kernels at once: what a suite of Debian's has, and a matrix of the newest of it."""

from __future__ import annotations

import re
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels.sources import apt


def available(source: str, cache: Path, guest: Architecture) -> list[apt.Available]:
    """Return the kernels that a suite has, newest first.

    source: "apt:SUITE".
    Raises BpfcompatError for another source, and if the suite cannot be asked.
    """
    kind, _, suite = source.partition(":")
    if kind != "apt" or not re.fullmatch(r"[a-z][a-z0-9.-]*", suite):
        raise BpfcompatError(f"'{source}' is not a suite of Debian's.", "write for instance apt:trixie-backports")
    return apt.available(suite, cache, guest)


def matrix_of(source: str, cache: Path, flavour: str, series: str, count: int) -> str:
    """Return a matrix of the newest kernels of a suite that have their modules, as YAML; raises BpfcompatError.

    flavour: what their releases end with, like cloud-amd64.
    series: what their releases begin with, like 6.12; empty for any.
    """
    guest = architecture.named(f"-{flavour}") or architecture.host()
    found = [
        one
        for one in available(source, cache, guest)
        if one.whole and one.flavour == flavour and (not series or one.release.startswith(f"{series}."))
    ][:count]
    if not found:
        raise BpfcompatError(
            f"{source} has no kernel of {flavour}{f' {series}' if series else ''} with its modules.",
            f"bpfcompat kernels list --available {source}",
        )
    suite = source.partition(":")[2]
    lines = [f"# The newest {len(found)} of {source}.", f"name: {suite}-{flavour}", "profiles:"]
    for one in found:
        name = re.sub(r"[^A-Za-z0-9._-]", "-", one.release)[:64]
        lines.append(f'  - {{id: {name}, kernel: "apt:{suite}/{one.package}={one.version}"}}')
    return "\n".join([*lines, ""])

"""An apt archive through the host's own apt, with a state of its own: nothing of the machine's is read or changed."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from bpfcompat.architecture import Architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic, processes

_INDEX_SECONDS = 600  # profiles of one suite in one run read the same index
_ROOM_MIB = 100
"""More than a suite's index takes, packed and unpacked."""
_SHELL_BYTES = (
    65536  # a package below this only depends on others: meta-packages, and Debian's linux-image from 6.19 on
)
DEPENDS = re.compile(r"\s*([^ |(]+)(?: \(= ([^)]+)\))?")
"""A name in a line of dependencies, and the exact version that is wanted, if one is."""


def updated(state: Path, guest: Architecture, lines: Callable[[], list[str]], what: str, hint: str) -> list[str]:
    """Bring an archive's package index up to date and return the options that make apt use it and nothing else.

    state: apt's folder for this archive; the architecture's name is added to it.
    guest: the architecture whose packages are meant.
    lines: returns the lines of its sources.list, each with the keyring that must have signed it.
    what, hint: for the message when it cannot be read.
    Raises BpfcompatError.
    """
    state = state.with_name(f"{state.name}.{guest.name}")
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::Etc::sourcelist": state / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": state, "Dir::State::lists": state / "lists", "Dir::State::status": "/dev/null", "Dir::Cache": state / "cache",
        "APT::Architecture": guest.name, "APT::Architectures": guest.name, "Acquire::Languages": "none", "Acquire::Retries": 3,
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        # apt's own download user cannot enter a private cache folder; signatures are checked all the same.
        "APT::Sandbox::User": "root",
    }  # fmt: skip
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    stamp = state / "updated"
    with atomic.locked(state / "lock"):
        if not stamp.exists() or time.time() - stamp.stat().st_mtime > _INDEX_SECONDS:
            atomic.write(state / "sources.list", "\n".join([*lines(), ""]).encode())
            try:
                processes.check(
                    ["apt-get", *options, "update", "-qq", "--error-on=any"],
                    doing=f"reading the package index of {what}",
                    hint=hint,
                )
            except BpfcompatError as error:
                _tell_of_no_room(state, error)
                raise
            atomic.write(stamp, b"")
    return options


def _tell_of_no_room(state: Path, error: BpfcompatError) -> None:
    """Raise another error where a full disk is why: apt 3.0 then asks for a form of the index that no mirror has, and says 404."""
    free = shutil.disk_usage(state).free >> 20
    if free < _ROOM_MIB:
        raise BpfcompatError(
            f"{error.message} There may be no room for it: {free} MiB are free in {state}.",
            "make room: bpfcompat cache prune --unused 30",
        ) from error


def shown(options: list[str], name: str) -> dict[str, str]:
    """Return version, dependencies and size of a package, NAME or NAME=VERSION; empty if there is none."""
    said = processes.run(["apt-cache", *options, "show", "--no-all-versions", name]).stdout.decode(errors="replace")
    return dict(re.findall(r"^(Version|Depends|Size): (.*)$", said, re.MULTILINE))


def closure(options: list[str], package: str, exact: str, followed: re.Pattern[str]) -> dict[str, str] | None:
    """Return the packages with content behind `package`, with their versions; None if there is no such package.

    Meta-packages depend on the real one; from 6.19 on Debian's is an empty shell over linux-binary and linux-modules.

    exact: the version that `package` must have; empty for the newest.
    followed: what the names of dependencies that belong to the kernel begin with.
    """
    found: dict[str, str] = {}
    shells: set[str] = set()
    queue = [(package, exact)]
    while queue:
        name, wanted = queue.pop()
        if name in found or name in shells:
            continue
        fields = shown(options, f"{name}={wanted}" if wanted else name)
        if "Version" not in fields:
            if name == package:
                return None
            continue  # Debian drops old modules before it drops their image; such a kernel comes without modules
        if int(fields.get("Size", 0)) > _SHELL_BYTES:
            found[name] = fields["Version"]
        else:
            shells.add(name)
        depends = (DEPENDS.match(part) for part in fields.get("Depends", "").split(","))
        queue += [(part[1], part[2] or "") for part in depends if part and followed.match(part[1])]
    return found


def download(options: list[str], packages: dict[str, str], folder: Path) -> None:
    """Download packages of exact versions into a folder; raises BpfcompatError."""
    names = [f"{name}={number}" for name, number in packages.items()]
    processes.check(
        ["apt-get", *options, "download", *names],
        doing=f"downloading {' '.join(names)}",
        hint="check the network; where the mirror lists a package that it does not have, name another version",
        cwd=folder,
    )


def locations(options: list[str], packages: dict[str, str]) -> dict[str, str]:
    """Return the URLs that packages of exact versions are fetched from; raises BpfcompatError."""
    names = [f"{name}={number}" for name, number in packages.items()]
    said = processes.check(
        ["apt-get", *options, "download", "--print-uris", *names], doing="locating packages"
    ).decode()
    return {name: url for url, name in re.findall(r"^'([^']+)' (\S+?)_", said, re.MULTILINE)}

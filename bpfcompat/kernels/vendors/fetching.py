"""A source of kernels, like those in `sources/`: what the name of a vendor's kernel stands for, and its packages."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from pathlib import Path

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.kernels import tree, unpack
from bpfcompat.kernels.lock import Locked
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.store import Fetched
from bpfcompat.kernels.vendors import apt, archived, keyrings, rows, rpmmd
from bpfcompat.kernels.vendors.rows import ARCH, Row, filled
from bpfcompat.model import Origin, Package, Profile
from bpfcompat.outcome import Classification
from bpfcompat.system import digest

_KINDS: dict[str, type[apt.Repository] | type[rpmmd.Repository]] = {"apt": apt.Repository, "rpm-md": rpmmd.Repository}


def row(profile: Profile) -> Row:
    """Return the row that a profile's kernel is of; raises BpfcompatError."""
    return rows.find(profile.kernel, profile.vendor)


def fetch(asked: Asked) -> Fetched:
    """Download a vendor's kernel, check the signatures, and unpack it; raises NoVerdict."""
    downloads, target = asked.folder / "packages", asked.folder / "tree"
    downloads.mkdir()
    target.mkdir()
    try:
        found, keyring = _repository(asked)
        packages = found.packages(_version(asked.profile))
        located = found.located(packages)
        files = found.download(packages, downloads)
        for file, _ in files.values():
            unpack.package(file, target)
        known = [_package(row(asked.profile), name, packages[name], *files[name], *located[name]) for name in packages]
    except BpfcompatError as error:
        raise _unavailable(error) from error
    told = tree.find(target, asked.profile.kernel, _told(packages))
    return replace(told, origin=Origin(tuple(known), keyring))


def locked(asked: Asked, wanted: Locked) -> Fetched:
    """Bring exactly the packages that a lock names, by their digests, and unpack them; raises NoVerdict.

    What was signed when it was locked is the same now: neither an index nor a key is needed.
    """
    downloads, target = asked.folder / "packages", asked.folder / "tree"
    downloads.mkdir()
    target.mkdir()
    for package in wanted.packages:
        unpack.package(archived.brought(package, downloads, row(asked.profile).client), target)
    told = tree.find(target, asked.profile.kernel, wanted.version)
    return replace(told, origin=Origin(wanted.packages, wanted.keyring))


def resolve(asked: Asked) -> str:
    """Return the version that `fetch` would bring now; raises NoVerdict."""
    try:
        found, _ = _repository(asked)
        return _told(found.packages(_version(asked.profile)))
    except BpfcompatError as error:
        raise _unavailable(error) from error


def _repository(asked: Asked) -> tuple[apt.Repository | rpmmd.Repository, str]:
    """Return a profile's repository, and what its keys came out of."""
    profile, found = asked.profile, row(asked.profile)
    keys, said = keyrings.found(profile.keys or found.key, profile.root, asked.cache)
    return _KINDS[found.kind](found, keys, asked.cache), ", ".join(said)


def _unavailable(error: BpfcompatError) -> NoVerdict:
    """apt says several things at once, on a line each."""
    return NoVerdict(Classification.KERNEL_UNAVAILABLE, " ".join(error.message.split()), error.hint)


def _version(profile: Profile) -> str:
    parts = rows.parsed(profile.kernel)
    return parts[3] if parts else ""


def _told(packages: dict[str, str]) -> str:
    name, version = next(iter(packages.items()))
    return f"{name} {version}"


def _package(found: Row, name: str, version: str, file: Path, keyid: str, url: str, path: str) -> Package:
    """Return what a lock says of a package: also where it will be when the repository does not have it any more."""
    number, _, build = version.rpartition("-")
    minor = re.search(r"\.el(\d+)_(\d+)", version)
    known = {
        "path": path, "file": file.name, "release": found.release, "arch": ARCH, "version": number, "build": build,
        "time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ"),
        **({"keyid": keyid} if keyid else {}), **({"minor": f"{minor[1]}.{minor[2]}"} if minor else {}),
    }  # fmt: skip
    archive = [there for there in (filled(one, known) for one in found.archive) if there] if path else []
    return Package(name, version, url, digest.of_file(file), tuple(archive))

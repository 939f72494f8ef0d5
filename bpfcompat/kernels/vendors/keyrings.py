"""Vendors' keys: out of Debian's packages of keyrings, which Debian's own keyring vouches for, or files of the user's."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels import aptget, signatures, unpack
from bpfcompat.kernels.sources import apt
from bpfcompat.system import atomic, scratch

_SUITES = ("trixie", "sid")
"""Of Debian: the first one that has them; what is newer is in the second."""
_HERE = Path("/usr")
_DAYS = 7
"""A package of keys is asked for again after so long: keys expire, and new releases have new ones."""


def found(keys: Sequence[str], root: Path, cache: Path) -> tuple[list[Path], list[str]]:
    """Return the files of some keys, and what they came out of, in words.

    keys: `PACKAGE:PATH`, or paths relative to `root`.
    Raises BpfcompatError for one that is not to be had.
    """
    files, origins = [], []
    for key in keys:
        package, colon, path = key.partition(":")
        if not colon:
            files.append(root / key)
            origins.append(key)
            continue
        file, origin = _of_package(package, path, cache)
        files.append(file)
        origins.append(origin)
    return files, list(dict.fromkeys(origins))


def _of_package(package: str, path: str, cache: Path) -> tuple[Path, str]:
    """Return a file of keys that are in use, out of the first place that has one, and that place in words."""
    found: list[tuple[Path, str]] = []
    failures: list[BpfcompatError] = []
    for place in _places(package, cache, failures):
        if file := _below(place, package, path):
            found.append((file, f"{package} of this machine" if place == _HERE else place.name.replace("_", " ", 1)))
            if signatures.has_current_key(file):
                return found[-1]
    if found:  # all have expired, which is told where a signature is checked
        return found[-1]
    if failures:
        raise BpfcompatError(
            f"the package {package}, which has the key {path}, cannot be fetched: {failures[0].message}",
            f"install it, or name a file of the vendor's keys with `key:`; {failures[0].hint}",
        )
    raise BpfcompatError(f"{package} has no key {path}.", "name a file of the vendor's keys with `key:`")


def _places(package: str, cache: Path, failures: list[BpfcompatError]) -> Iterator[Path]:
    """Yield the folders that a package of keys is laid out in: this machine's, then what is kept, then Debian's suites'."""
    yield _HERE
    kept = sorted((cache / "keyrings").glob(f"{package}_*"), key=lambda one: -one.stat().st_mtime)
    fresh = [one for one in kept if time.time() - one.stat().st_mtime < _DAYS * 86400]
    yield from fresh
    for suite in _SUITES:
        try:
            yield _fetched(package, suite, cache)
        except BpfcompatError as error:
            failures.append(error)
    yield from (one for one in kept if one not in fresh)  # no network: what is there was checked when it came


def _below(root: Path, package: str, path: str) -> Path | None:
    for place in (f"share/{package}/{path}", f"share/keyrings/{path}"):
        if (root / place).is_file():
            return root / place
    return None


def _fetched(package: str, suite: str, cache: Path) -> Path:
    """Return the folder of a package of keys as a suite of Debian's has it; raises BpfcompatError."""
    options = apt.updated(suite, cache, architecture.AMD64)
    version = aptget.shown(options, package).get("Version")
    if version is None:
        raise BpfcompatError(f"Debian's {suite} has no package {package}.")
    target = cache / "keyrings" / f"{package}_{version}"
    if not target.exists():
        with scratch.folder(cache / "tmp", scratch.unique("keyring")) as working, atomic.folder(target) as folder:
            aptget.download(options, {package: version}, working)
            (archive,) = working.glob("*.deb")
            unpack.package(archive, working / "tree", unpack.KEYRINGS)
            shutil.copytree(working / "tree", folder, dirs_exist_ok=True, symlinks=True)
    with contextlib.suppress(OSError):
        target.touch()
    return target

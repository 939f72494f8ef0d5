"""Kernels from Debian's archive: `apt:SUITE/PACKAGE[=VERSION]`, through the host's own apt with a private configuration.

PACKAGE may be a meta-package, an exact package, or a pattern with `*` that stands for its newest match: exact versions
vanish from the archive when superseded, so matrices name suites or series.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import kit
from bpfcompat.kernels import aptget, tree, unpack
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.store import Fetched
from bpfcompat.outcome import Classification
from bpfcompat.system import debian, processes

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_WITHOUT_SECURITY = {"sid", "unstable", "experimental"}
_NAME = re.compile(
    r"(?P<suite>[a-z][a-z0-9.-]*)/(?P<package>linux-[A-Za-z0-9.+~*_-]+)(?:=(?P<version>[A-Za-z0-9.+~:-]+))?"
)
_KERNEL_PACKAGE = re.compile(r"linux-(image|binary|modules|base)(-unsigned)?-")
"""From 6.19 on the configuration and the list of what is built in are in linux-base-RELEASE."""
_HEADER_PACKAGE = re.compile(r"linux-(headers|kbuild)-")


def fetch(asked: Asked) -> Fetched:
    """Download a kernel package with the packages it is split into, check signatures, and unpack them."""
    suite, wanted, exact = _parsed(asked.rest)
    if not shutil.which("apt-get"):
        raise _unavailable(
            "apt: kernels need the program apt-get, which this machine does not have.",
            "name a package or a file instead: deb:URL, rpm:URL, oci:REFERENCE, path:IMAGE or dir:TREE",
        )
    target = asked.folder / "tree"
    target.mkdir()
    try:
        options = updated(suite, asked.cache, architecture.of(asked.profile.arch))
        packages, version = _closure(options, _newest(options, suite, wanted), suite, exact)
        aptget.download(options, packages, asked.folder)
    except NoVerdict:
        raise
    except BpfcompatError as error:
        raise _unavailable(error.message, error.hint) from error
    for archive in asked.folder.glob("*.deb"):
        unpack.package(archive, target)
    return tree.find(target, asked.profile.kernel, version)


def headers(asked: Asked, release: str, version: str) -> Path:
    """Download the headers of exactly one kernel, with what they have in common with others, and unpack them.

    release: as `uname -r` says it.
    version: as `fetch` told it.
    Raises NoVerdict, also if the archive has the headers of another version only.
    """
    suite, _, _ = _parsed(asked.rest)
    target, wanted = asked.folder / "headers", f"linux-headers-{release}"
    target.mkdir()
    try:
        options = updated(suite, asked.cache, architecture.of(asked.profile.arch))
        packages = _headers_closure(options, suite, wanted, version.rpartition(" ")[2])
        aptget.download(options, packages, target)
    except NoVerdict:
        raise
    except BpfcompatError as error:
        raise _unavailable(error.message, error.hint) from error
    for archive in target.glob("*.deb"):
        unpack.package(archive, target / "tree", unpack.HEADERS)
    return target / "tree"


def _headers_closure(options: list[str], suite: str, package: str, version: str) -> dict[str, str]:
    """Return the packages with the headers of a kernel: its own, those of its flavours, and kbuild's programs."""
    found: dict[str, str] = {}
    queue = [(package, version)]
    while queue:
        name, wanted = queue.pop()
        if name in found:
            continue
        fields = aptget.shown(options, f"{name}={wanted}" if wanted else name)
        if "Version" not in fields:
            raise _missing_headers(options, suite, package, version)
        found[name] = fields["Version"]
        depends = (aptget.DEPENDS.match(part) for part in fields.get("Depends", "").split(","))
        queue += [(part[1], part[2] or "") for part in depends if part and _HEADER_PACKAGE.match(part[1])]
    return found


def _missing_headers(options: list[str], suite: str, package: str, version: str) -> NoVerdict:
    now = aptget.shown(options, package).get("Version")
    return _unavailable(
        f"{suite} has {package} {version} no more, but {now}." if now else f"{suite} has no package {package}.",
        "`bpfcompat kernels update` takes the newest kernel of each profile, whose headers are there",
    )


def exact(rest: str, version: str) -> str:
    """Return the name of exactly what was fetched, given the version that `fetch` told of it."""
    suite, _, _ = _parsed(rest)
    package, _, number = version.partition(" ")
    # The package that depends on both halves of a kernel that is split in two.
    return f"{suite}/{package.replace('linux-binary-', 'linux-image-', 1)}={number}"


def resolve(asked: Asked) -> str:
    """Return the version that `fetch` would bring now; raises NoVerdict."""
    suite, wanted, number = _parsed(asked.rest)
    try:
        options = updated(suite, asked.cache, architecture.of(asked.profile.arch))
        return _closure(options, _newest(options, suite, wanted), suite, number)[1]
    except NoVerdict:
        raise
    except BpfcompatError as error:
        raise _unavailable(error.message, error.hint) from error


@dataclass(frozen=True)
class Available:
    """A kernel that a suite has."""

    package: str
    version: str
    release: str
    whole: bool
    """Its modules are there, too."""

    @property
    def flavour(self) -> str:
        """What stands behind its number: amd64, cloud-amd64, rt-amd64."""
        return re.sub(r"^[0-9][^-]*(?:-[0-9]+)?-", "", self.release)


def available(suite: str, cache: Path, guest: Architecture) -> list[Available]:
    """Return the kernels that a suite has, newest first; raises NoVerdict if it cannot be asked.

    From 6.19 on the modules are a package of their own, which the archive drops before it drops the image.
    """
    try:
        options = updated(suite, cache, guest)
        listed = processes.check(["apt-cache", *options, "dumpavail"], doing=f"listing the packages of {suite}")
    except NoVerdict:
        raise
    except BpfcompatError as error:
        raise _unavailable(error.message, error.hint) from error
    fields = [
        dict(re.findall(r"^(Package|Version|Size|Depends): (.*)$", part, re.MULTILINE))
        for part in listed.decode(errors="replace").split("\n\n")
    ]
    packages = {part["Package"] for part in fields if "Package" in part}
    found = []
    for part in fields:
        name = re.fullmatch(rf"linux-image-([0-9][0-9a-z.+~-]*-{guest.name}(?:-[0-9a-z]+)?)", part.get("Package", ""))
        if name and "linux-image-" not in part.get("Depends", ""):  # that is a meta-package, like linux-image-6.1-amd64
            split = f"linux-binary-{name[1]}" in part.get("Depends", "")
            whole = not split or f"linux-modules-{name[1]}" in packages
            found.append(Available(part["Package"], part["Version"], name[1], whole))
    return sorted(found, key=lambda one: _by_version(one.release), reverse=True)


def _parsed(rest: str) -> tuple[str, str, str]:
    """Return suite, package and version, which is empty if none is named."""
    parts = _NAME.fullmatch(rest)
    if not parts:
        raise _unavailable(
            f"'apt:{rest}' is not apt:SUITE/PACKAGE[=VERSION].",
            f"for instance apt:bookworm/linux-image-cloud-{architecture.host().name}",
        )
    return parts["suite"], parts["package"], parts["version"] or ""


def _closure(options: list[str], package: str, suite: str, exact: str) -> tuple[dict[str, str], str]:
    """Return the kernel packages behind `package` with their versions, and the version of the image; raises NoVerdict."""
    found = aptget.closure(options, package, exact, _KERNEL_PACKAGE)
    if found is None:
        raise _missing(options, package, suite, exact)
    image = next((name for name in found if re.match(r"linux-(binary|image)-", name)), None)
    if image is None:
        raise _unavailable(f"{package} of {suite} brings no kernel image.", "name a linux-image package")
    return found, f"{image} {found[image]}"


def _unavailable(message: str, hint: str = "") -> NoVerdict:
    return NoVerdict(Classification.KERNEL_UNAVAILABLE, message, hint)


def updated(suite: str, cache: Path, guest: Architecture) -> list[str]:
    """Bring the suite's package index up to date and return the options that make apt use it and nothing else."""

    def lines() -> list[str]:
        trusted = keyring(cache)
        main, security = debian.mirrors()
        found = [f"deb [signed-by={trusted}] {main} {suite} main"]
        if suite not in _WITHOUT_SECURITY and not suite.endswith("-backports"):
            found.append(f"deb [signed-by={trusted}] {security} {suite}-security main")
        return found

    hint = f"check the network, and that your Debian mirror has the suite {suite}"
    return aptget.updated(cache / "apt" / suite, guest, lines, suite, hint)


def keyring(cache: Path) -> Path:
    """Return the keyring that signatures are checked with: Debian's package of this machine, or that of the kit.

    The kit has it out of the package whose digest its lock names. Raises BpfcompatError if there is neither.
    """
    return _KEYRING if _KEYRING.exists() else kit.made(cache, lambda _: None, architecture.host()).keyring


def described(cache: Path) -> str:
    """Return what is asked, and how its answers are checked; raises BpfcompatError if either is not there."""
    return f"{debian.mirrors()[0]}, signatures by {keyring(cache)}"


def _newest(options: list[str], suite: str, wanted: str) -> str:
    """Return the package that `wanted` stands for: itself, or the match of a pattern that has the highest version."""
    if "*" not in wanted:
        return wanted
    prefix = wanted.partition("*")[0]
    names = processes.check(["apt-cache", *options, "pkgnames", prefix], doing="listing packages").decode().split()
    matches = [name for name in names if fnmatch.fnmatchcase(name, wanted) and not name.endswith("-dbg")]
    if not matches:
        raise _unavailable(
            f"no package of {suite} matches '{wanted}'.",
            f"`apt-cache pkgnames {prefix}` on a machine of {suite} lists what there is",
        )
    return max(matches, key=_by_version)


def _by_version(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _missing(options: list[str], package: str, suite: str, exact: str) -> NoVerdict:
    now = aptget.shown(options, package).get("Version") if exact else None
    if now:
        return _unavailable(
            f"{suite} has {package} {exact} no more, but {now}.", f"name what there is: apt:{suite}/{package}={now}"
        )
    return _unavailable(
        f"{suite} has no package {package}.",
        f"use a pattern for the newest of a series, for instance apt:{suite}/linux-image-*-cloud-{architecture.host().name}",
    )

"""Rows of the table of vendors, and of a project's own `vendors:`: what a kernel's name stands for."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, did_you_mean

TABLE = Path(__file__).with_name("table.json")
_NAME = re.compile(
    r"(?P<vendor>[a-z][a-z0-9-]*):(?P<release>[a-z0-9][a-z0-9._-]*)"
    r"(?:/(?P<flavour>[a-z0-9._-]+))?(?:=(?P<version>[A-Za-z0-9.+~:_*-]+))?"
)
ARCH = "x86_64"


@dataclass(frozen=True)
class Row:
    """Where a vendor publishes the kernels of one release and flavour, which packages make one, and who signs them."""

    name: str
    """As the user writes it, without a version: `ubuntu:24.04/aws`."""
    title: str
    kind: str
    """`apt` or `rpm-md`."""
    url: tuple[str, ...]
    """Of apt: URL, SUITE and COMPONENTS, of rpm-md: the URL of a repository, or `mirrorlist:URL` of a list of such."""
    packages: tuple[str, ...]
    """The first one has the image. One that ends in `?` may not be there."""
    key: tuple[str, ...]
    """Files of keys: `PACKAGE:PATH` in a package of Debian's, or paths."""
    exact: tuple[str, ...] = ()
    """Of apt: the packages of an exact version."""
    leave: str = "linux-modules-extra-"
    """Of apt: a pattern of dependencies that are not followed."""
    archive: tuple[str, ...] = ()
    """URLs of a package that the repository does not have any more."""
    metadata_signed: bool = False
    """Of rpm-md: the index is signed, too, and not only the packages. An apt repository's index always is."""
    sha1: bool = False
    """Its keys are such as a current rpm accepts only if it is told to accept SHA-1 in their signatures of themselves."""
    client: tuple[str, str] | None = None
    """A certificate and its key that the server asks its client for."""
    read: tuple[tuple[str, Any], ...] = ()
    """What is known of the kernel from its published configuration."""
    tried: str = ""
    """When, and with which version, it came from the vendor's own server; empty for not yet."""
    release: str = ""

    @property
    def slug(self) -> str:
        """The name as a file's name."""
        return re.sub(r"[^A-Za-z0-9._-]", "-", self.name)


@functools.cache
def table() -> Mapping[str, Any]:
    """Return the shipped table: vendor -> what is known of it."""
    found: Mapping[str, Any] = json.loads(TABLE.read_bytes())
    return found


def parsed(name: str) -> tuple[str, str, str, str] | None:
    """Return vendor, release, flavour and version of a kernel's name, the latter two empty if not said; None for another name."""
    parts = _NAME.fullmatch(name)
    return (parts["vendor"], parts["release"], parts["flavour"] or "", parts["version"] or "") if parts else None


def find(name: str, own: str = "") -> Row:
    """Return the row that a kernel's name stands for; raises BpfcompatError with what there is instead.

    own: the row of the project that the name's vendor is, as JSON; empty for one of the table.
    """
    parts = parsed(name)
    vendor = name.partition(":")[0]
    if parts is None:
        raise BpfcompatError(
            f"'{name}' is not {vendor}:RELEASE[/FLAVOUR][=VERSION].", f"for instance {names(vendor)[0] if not own else f'{vendor}:9'}"
        )  # fmt: skip
    _, release, flavour, _ = parts
    if own:
        if flavour:
            raise BpfcompatError(
                f"{vendor} is a row of this matrix, which has no flavours.", "write one row for each, with a name of its own"
            )  # fmt: skip
        return _row(f"{vendor}:{release}", {"title": vendor, **json.loads(own)}, release, "")
    known = table()[vendor]
    if release not in known["releases"]:
        hint = did_you_mean(release, known["releases"], f"there are: {', '.join(known['releases'])}")
        raise BpfcompatError(f"{vendor} has no release '{release}' in the table of vendors.", hint)
    settings = known["releases"][release]
    flavours = settings.get("flavours") or known.get("flavours") or {"": {}}
    if flavour not in flavours:
        said = ", ".join(f"{vendor}:{release}/{one}" if one else f"{vendor}:{release}" for one in flavours)
        raise BpfcompatError(f"{vendor}:{release} has no flavour '{flavour}'.", f"there are: {said}")
    # What was read of a release's kernel is not what its other flavours are.
    said_of = settings if flavour in ("", "generic", "extra") else {**settings, "read": {}}
    return _row(
        f"{vendor}:{release}{f'/{flavour}' if flavour else ''}", {**known, **said_of, **flavours[flavour]}, release, flavour
    )  # fmt: skip


def names(vendor: str = "") -> list[str]:
    """Return all names that the table knows, or those of one vendor."""
    found = []
    for one, known in table().items():
        if vendor in ("", one):
            for release, settings in known["releases"].items():
                flavours = settings.get("flavours") or known.get("flavours") or {"": {}}
                found += [f"{one}:{release}{f'/{flavour}' if flavour else ''}" for flavour in flavours]
    return found


def _row(name: str, settings: Mapping[str, Any], release: str, flavour: str) -> Row:
    known = {"release": release, "flavour": flavour, "arch": ARCH, "codename": settings.get("codename", release)}

    def texts(key: str) -> tuple[str, ...]:
        value = settings.get(key, ())
        return tuple(_filled(text, known) for text in ((value,) if isinstance(value, str) else value))

    client = settings.get("client")
    return Row(
        name, settings["title"], settings["kind"], texts("url"), texts("packages"), texts("key"), texts("exact"),
        settings.get("leave", Row.leave), texts("archive"), settings.get("metadata_signed", False),
        settings.get("sha1", False), (client["certificate"], client["key"]) if client else None,
        tuple(settings.get("read", {}).items()), settings.get("tried", ""), release,
    )  # fmt: skip


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Return a text with those names in braces replaced that are known."""
    return re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], match[0]), text)


def filled(text: str, known: Mapping[str, str]) -> str | None:
    """Return a text with all names in braces replaced; None if one of them is not known."""
    said = _filled(text, known)
    return None if re.search(r"\{\w+\}", said) else said

"""Matrix files -> profiles."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpfcompat import architecture, kernels
from bpfcompat.architecture import Architecture
from bpfcompat.errors import BpfcompatError, did_you_mean
from bpfcompat.model import Check, Matrix, Profile
from bpfcompat.project import document, schema
from bpfcompat.project.document import Document, Location

SHIPPED = Path(__file__).parents[1] / "matrices"
_BESIDE = {
    "modules": ("path", "deb", "rpm", "pkg"), "config": ("path",), "sha256": ("deb", "rpm", "pkg"), "key": ("rpm", "pkg")
}  # fmt: skip
"""What may stand beside which kinds of kernels."""
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def load(where: str, base: Path) -> Matrix:
    """Read the matrix that `where` names: a file relative to `base`, or a shipped matrix by its bare name.

    Raises BpfcompatError for a matrix that is not there or not valid.
    """
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.yaml"))}
    path = shipped.get(where, base / where)
    if not path.is_file():
        raise BpfcompatError(
            f"there is no matrix '{where}': no such file, and the shipped ones are {', '.join(shipped)}.",
            did_you_mean(where, shipped, f"use `matrix: {next(iter(shipped))}`, or write the file"),
        )
    read = document.read(path)
    if not isinstance(read.value, dict):
        raise BpfcompatError(
            f"{path}:1: a matrix is a mapping with a list of profiles.", "start it with a line `profiles:`"
        )
    schema.check(read, "matrix")
    profiles = parse_profiles(read, read.value["profiles"], ("profiles",), path.parent, _vendors(read))
    return Matrix(profiles, read.value.get("name") or path.stem, path)


def _vendors(read: Document) -> dict[str, str]:
    """Return the vendors that a matrix has of its own, each as JSON; raises BpfcompatError for a name that is taken."""
    for name in read.value.get("vendors", {}):
        if kernels.is_taken(name):
            raise BpfcompatError(
                f"{read.where(('vendors', name))}: '{name}' already names kernels of another kind.",
                "give the row another name; for a mirror of a vendor's repository set BPFCOMPAT_MIRRORS",
            )
    return {name: json.dumps(row, sort_keys=True) for name, row in read.value.get("vendors", {}).items()}


def parse_profiles(
    read: Document, rows: list[dict[str, Any]], location: Location, root: Path, vendors: dict[str, str] | None = None
) -> tuple[Profile, ...]:
    """Turn rows that fit the schema into profiles; raises BpfcompatError for duplicate ids and unknown kernels.

    vendors: those that the matrix has of its own, each as JSON.
    """
    first: dict[str, int] = {}
    profiles = []
    for index, row in enumerate(rows):
        here = (*location, index)
        if row["id"] in first:
            again = read.where((*location, first[row["id"]], "id"))
            raise BpfcompatError(
                f"{read.where((*here, 'id'))}: the id '{row['id']}' is taken by {again}.", "give one of them another id"
            )
        first[row["id"]] = index
        known = {} if "kernel" in row else _from_catalogue(row["id"], read.where((*here, "id")))
        profiles.append(_profile({**known, **row}, root, read, here, vendors or {}))
    return tuple(profiles)


def _profile(row: dict[str, Any], root: Path, read: Document, here: Location, vendors: dict[str, str]) -> Profile:
    vendor = vendors.get(row["kernel"].partition(":")[0], "")
    try:
        kernels.refuse_foreign(row["kernel"], vendor)
    except BpfcompatError as error:
        raise BpfcompatError(f"{read.where((*here, 'kernel'))}: {error.message}", error.hint) from error
    modules, sha256, keys = (_several(row.get(key, ())) for key in ("modules", "sha256", "key"))
    _refuse_misplaced(row, 1 + len(modules), len(sha256), read, here)
    arch = _architecture(row, read, here)
    if arch:
        _refuse_unknown_architecture(row["kernel"], vendor, architecture.of(arch), read.where((*here, "arch")))
    if row.get("headers") and not kernels.has_headers(row["kernel"]):
        raise BpfcompatError(
            f"{read.where((*here, 'headers'))}: `headers` belongs to a kernel of apt: only.",
            "put them into guest.rootfs, where /lib/modules/RELEASE/build is looked for, and remove the line",
        )
    memory = megabytes(row.get("memory", 512))
    if memory < 128:
        raise BpfcompatError(
            f"{read.where((*here, 'memory'))}: a guest needs at least 128M of memory.", "write `memory: 512M`"
        )
    return Profile(
        id=row["id"], kernel=row["kernel"], required=row.get("required", True),
        expects_failure=row.get("expect") == "fail", modules=modules, config=row.get("config"), sha256=sha256, keys=keys,
        vendor=vendor,
        timeout=seconds(row["timeout"]) if "timeout" in row else None, memory=memory, arch=arch,
        cpus=row.get("cpus", 1), cmdline=" ".join(row.get("cmdline", "").split()), root=root,
        limits=row.get("limits"), headers=row.get("headers", False),
        guest_modules=tuple(row.get("guest", {}).get("modules", ())),
    )  # fmt: skip


def _refuse_unknown_architecture(kernel: str, vendor: str, guest: Architecture, where: object) -> None:
    try:
        kernels.refuse_unknown_architecture(kernel, vendor, guest)
    except BpfcompatError as error:
        raise BpfcompatError(f"{where}: {error.message}", error.hint) from error


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _refuse_misplaced(row: dict[str, Any], packages: int, digests: int, read: Document, here: Location) -> None:
    """Raise BpfcompatError for what stands beside a kernel of a kind that it means nothing to."""
    kind = row["kernel"].partition(":")[0]
    if "key" in row and kind == "deb":
        raise BpfcompatError(
            f"{read.where((*here, 'key'))}: Debian packages carry no signatures that a key could check.",
            "write `sha256:` instead, or name a repository, whose index is signed",
        )
    for key, kinds in _BESIDE.items():
        if key in row and kind not in kinds and not (key == "key" and kernels.is_vendor(kind)):
            names = " or ".join(f"{name}:" for name in kinds)
            raise BpfcompatError(
                f"{read.where((*here, key))}: `{key}` belongs to a kernel of {names} only.", "remove the line"
            )
    if kind == "path" and packages > 2:
        raise BpfcompatError(
            f"{read.where((*here, 'modules'))}: the modules of a path: kernel are one folder.", "keep one of them"
        )
    if digests and digests != packages:
        raise BpfcompatError(
            f"{read.where((*here, 'sha256'))}: there are {packages} packages and {digests} digests.",
            "write one for `kernel`, then one for each of `modules`, in their order",
        )


def _architecture(row: dict[str, Any], read: Document, here: Location) -> str:
    """Return the architecture that a row says, in so many words or by its kernel's name; empty if it does not.

    Raises BpfcompatError if the two say different things.
    """
    named = architecture.named(row["kernel"]) if row["kernel"].startswith("apt:") else None
    if named and row.get("arch", named.name) != named.name:
        raise BpfcompatError(
            f"{read.where((*here, 'arch'))}: {row['kernel']} is a kernel for {named.name}, and `arch` says {row['arch']}.",
            f"write `arch: {named.name}`, or name a package for {row['arch']}",
        )
    return str(row.get("arch", named.name if named else ""))


def for_loaders(matrix: Matrix, checks: Sequence[Check]) -> Matrix:
    """Return a matrix whose profiles all have an architecture: where they do not say it, that of the first loader that has one.

    A loader that is not built yet says nothing; the architecture is this machine's then. Raises BpfcompatError for a profile
    whose kernel is not known for that.
    """
    if all(profile.arch for profile in matrix.profiles):
        return matrix
    loaders = (check.binary for check in checks if check.binary and not check.by_arch)
    told = next(((str(path), found) for path in loaders if (found := _of_program(path))), None)
    whose, guest = told or ("this machine", architecture.host())
    for one in matrix.profiles:
        if not one.arch:
            where = f"{one.id} says no `arch:`, and {whose} is of {guest.name}"
            _refuse_unknown_architecture(one.kernel, one.vendor, guest, where)
    return replace(matrix, profiles=tuple(replace(one, arch=one.arch or guest.name) for one in matrix.profiles))


def _of_program(path: Path) -> Architecture | None:
    """Return the architecture of an ELF program; None for whatever else there is, or is not."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    return architecture.of_elf(int.from_bytes(head[18:20], "little")) if head[:5] == b"\x7fELF\x02" else None


def lock_path(matrix: Matrix, root: Path) -> Path:
    """Return where a matrix's lock file is, or will be: beside its file, or in `root` for one that is shipped."""
    if matrix.path is None or matrix.path.is_relative_to(SHIPPED.resolve()) or matrix.path.is_relative_to(SHIPPED):
        return root / "bpfcompat.yaml.lock"
    return matrix.path.with_name(f"{matrix.path.name}.lock")


def _rows() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for file in sorted(SHIPPED.glob("*.yaml")) for row in document.read(file).value["profiles"]}


def catalogue() -> Matrix:
    """Return all profiles that the shipped matrices know."""
    found = ((name, row["kernel"], architecture.named(row["kernel"])) for name, row in _rows().items())
    return Matrix(
        tuple(Profile(name, kernel, arch=arch.name if arch else "") for name, kernel, arch in found), "shipped"
    )


def _from_catalogue(wanted: str, where: object) -> dict[str, Any]:
    catalogue = _rows()
    if wanted in catalogue:
        return {"kernel": catalogue[wanted]["kernel"]}
    raise BpfcompatError(
        f"{where}: the profile '{wanted}' names no kernel, and the shipped matrices do not know it.",
        did_you_mean(wanted, catalogue, "add a line `kernel: apt:bookworm/linux-image-cloud-amd64`"),
    )


def select(matrix: Matrix, patterns: Sequence[str]) -> Matrix:
    """Keep the profiles whose id matches one of the shell patterns; raises BpfcompatError for one that matches none."""
    if not patterns:
        return matrix
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(profile.id, pattern) for profile in matrix.profiles):
            ids = ", ".join(profile.id for profile in matrix.profiles[:20])
            raise BpfcompatError(f"no profile matches '{pattern}'.", f"the profiles are: {ids}")
    kept = tuple(p for p in matrix.profiles if any(fnmatch.fnmatchcase(p.id, pattern) for pattern in patterns))
    return replace(matrix, profiles=kept)


def seconds(value: float | str) -> float:
    """Return a duration in seconds: 60, "60s", "1.5m", "500ms"; raises ValueError."""
    if isinstance(value, (int, float)):
        return float(value)
    parts = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?", value)
    if not parts:
        raise ValueError(value)
    return float(parts[1]) * _SECONDS[parts[2] or "s"]


def megabytes(value: int | str) -> int:
    """Return a size in MiB: 512, "512M", "1G"."""
    if isinstance(value, int):
        return value
    return int(value[:-1]) * (1024 if value[-1] == "G" else 1)

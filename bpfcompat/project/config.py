"""bpfcompat.yaml -> Project."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bpfcompat.errors import BpfcompatError, did_you_mean
from bpfcompat.model import Check, Expectation, Matrix, Project
from bpfcompat.project import document, manifest, matrix, schema
from bpfcompat.project.document import Document, Location
from bpfcompat.system import host
from bpfcompat.validation import Validation

FILE_NAME = "bpfcompat.yaml"
WORKDIR_NAME = ".bpfcompat"
_PROJECT_KEYS = ("matrix", "boot", "accel", "retries", "redact", "trust_imported", "guest")
"""What is the whole project's, not one check's."""
COMMAND_BYTES_AT_MOST = 131_071
"""Linux's MAX_ARG_STRLEN less the NUL: the command is one operand of bash."""


def load_project(path: Path) -> Project:
    """Read a bpfcompat.yaml.

    path: the file, or the folder that it stands in.
    Raises BpfcompatError, with file and line, for whatever is wrong with it or with the matrix that it names.
    """
    file = path / FILE_NAME if path.is_dir() else path
    if not file.exists():
        raise BpfcompatError(
            f"there is no {FILE_NAME} in {file.parent.resolve()}.", "run `bpfcompat init` to write a first one"
        )
    read = document.read(file)
    if not isinstance(read.value, dict):
        raise BpfcompatError(
            f"{file}:1: the file must be a mapping of keys like `command:` and `matrix:`.",
            "compare bpfcompat.yaml.example",
        )
    schema.check(read, "project")
    value = read.value
    root = file.resolve().parent
    rows = value.get("checks") or [{key: value[key] for key in value if key not in _PROJECT_KEYS}]
    names: dict[str, int] = {}
    for index, row in enumerate(rows):
        if names.setdefault(row.get("name", "command"), index) != index:
            raise BpfcompatError(
                f"{read.where(('checks', index, 'name'))}: a second check is named '{row['name']}'.",
                "give it another name",
            )
    checks = tuple(
        _check(read, row, ("checks", index) if "checks" in value else (), root) for index, row in enumerate(rows)
    )
    kernels = _matrix(read, root)
    refuse_unknown_profiles(checks, kernels)
    return Project(
        checks, kernels, root / WORKDIR_NAME, value.get("redact", False),
        boot=value.get("boot", "warm"), accelerator=value.get("accel", "auto"), retries=value.get("retries", 0),
        lock=matrix.lock_path(kernels, root), trust_imported=value.get("trust_imported", True),
        rootfs=root / value["guest"]["rootfs"] if "rootfs" in value.get("guest", {}) else None,
    )  # fmt: skip


def _matrix(read: Document, root: Path) -> Matrix:
    value = read.value["matrix"]
    if isinstance(value, str):
        return matrix.load(value, root)
    return Matrix(matrix.parse_profiles(read, value, ("matrix",), root), None, read.path.resolve())


def refuse_unknown_profiles(checks: Iterable[Check], kernels: Matrix) -> None:
    """Raise BpfcompatError for a profile that a manifest requires and the matrix does not have."""
    known = [profile.id for profile in kernels.profiles]
    for name in (name for check in checks for name in check.required_profiles if name not in known):
        raise BpfcompatError(
            f"the manifest requires the profile '{name}', which the matrix does not have.",
            did_you_mean(name, known, f"the profiles are: {', '.join(known[:20])}"),
        )


def _validation(
    read: Document, row: dict[str, Any], location: Location, root: Path
) -> tuple[Validation | None, tuple[str, ...]]:
    """Return how a check's artifact is tried, if there is no command that does it, and the profiles that its manifest requires."""
    if "command" not in row:
        return manifest.load(root / row["manifest"] if "manifest" in row else None, row.get("validation_mode"))
    for key in ("manifest", "validation_mode"):
        if key in row:
            raise BpfcompatError(
                f"{read.where((*location, key))}: `{key}` is for an artifact without a command.",
                "remove it, or `command:`",
            )
    return None, ()


def _check(read: Document, row: dict[str, Any], location: Location, root: Path) -> Check:
    validation, required = _validation(read, row, location, root)
    command = manifest.command(validation) if validation else row["command"]
    refuse_long_command(command, read.where((*location, "command" if "command" in row else "artifact")))
    if validation:
        for key in ("binary", "bundle_libs", "expect"):
            if key in row:
                raise BpfcompatError(
                    f"{read.where((*location, key))}: `{key}` belongs to a command, and there is none.",
                    "add `command:`",
                )
    expect = row.get("expect", {})
    for stream in ("stdout", "stderr", "not_stdout", "not_stderr"):
        try:
            re.compile(expect.get(stream, ""))
        except re.error as error:
            where = read.where((*location, "expect", stream))
            raise BpfcompatError(
                f"{where}: expect.{stream} is not a regular expression: {error}.", "escape it, or quote it with '...'"
            ) from error
    return Check(
        command=command,
        name=row.get("name", "command"),
        binary=root / row["binary"] if "binary" in row else None,
        bundle_libs=row.get("bundle_libs", False),
        artifact=root / row["artifact"] if "artifact" in row else None,
        tools=tuple(_tool(name, root) for name in read.value.get("guest", {}).get("tools", ())),
        files=tuple(root / name for name in row.get("files", ())),
        root=root,
        env=tuple((name, read.text((*location, "env", name))) for name in sorted(row.get("env", {}))),
        expect=Expectation(**expect),
        timeout=matrix.seconds(row.get("timeout", 60)),
        validation=validation,
        required_profiles=required,
    )


def _tool(name: str, root: Path) -> Path:
    """Return a program of the project's, or of this machine; raises BpfcompatError for one that is not installed."""
    return root / name if "/" in name else Path(host.program(name))


def refuse_long_command(command: str, where: str) -> None:
    """Raise BpfcompatError for a command that no kernel would accept as one operand, or that has a NUL in it."""
    size = len(command.encode(errors="surrogateescape"))
    if size > COMMAND_BYTES_AT_MOST:
        raise BpfcompatError(
            f"{where}: the command has {size:,} bytes; Linux accepts {COMMAND_BYTES_AT_MOST:,} in one operand.",
            "put it into a script, ship that with `files: [script.sh]` and run `bash script.sh`",
        )
    if "\0" in command:
        raise BpfcompatError(f"{where}: the command has a NUL character in it, which no shell can be given.")

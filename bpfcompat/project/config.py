"""bpfcompat.yaml -> Project."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpfcompat import architecture
from bpfcompat.errors import BpfcompatError, did_you_mean
from bpfcompat.guest import collect
from bpfcompat.model import COLLECT_LIMIT_MIB, Check, ClusterSettings, Expectation, Matrix, Project, Ready
from bpfcompat.project import brought, document, matrix, schema
from bpfcompat.project.document import Document, Location, Where

if TYPE_CHECKING:
    from bpfcompat.validation import Validation

FILE_NAME = "bpfcompat.yaml"
WORKDIR_NAME = ".bpfcompat"
_PROJECT_KEYS = (
    "matrix",
    "boot",
    "accel",
    "retries",
    "redact",
    "trust_imported",
    "guest",
    "limits",
    "store",
    "cluster",
)
"""What is the whole project's, not one check's."""
_DEFAULTS = (
    "binary", "bundle_libs", "artifact", "files", "env", "expect", "results", "ready", "while_ready", "timeout", "collect",
    "collect_limit",
)  # fmt: skip
"""What can be said once for all checks."""
_BY_NAME = ("env", "expect")
_OF_A_COMMAND = ("binary", "bundle_libs", "expect", "results", "ready", "while_ready")
_SIGNS = ("stdout", "stderr", "file", "notify")
COMMAND_BYTES_AT_MOST = 131_071
"""Linux's MAX_ARG_STRLEN less the NUL: the command is one operand of bash."""


def project_file(path: Path) -> Path:
    """Return a project's file by what the user named: the file, or the folder that it stands in."""
    return path / FILE_NAME if path.is_dir() else path


def load_project(path: Path) -> Project:
    """Read a bpfcompat.yaml.

    path: the file, or the folder that it stands in.
    Raises BpfcompatError, with file and line, for whatever is wrong with it or with the matrix that it names.
    """
    file = project_file(path)
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
    rows = _rows(read)
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
    kernels = matrix.for_loaders(_matrix(read, root), checks)
    _refuse_lacking(read, checks, kernels)
    refuse_unknown_profiles(checks, kernels)
    return Project(
        checks, kernels, _workdir(file, root), value.get("redact", False),
        boot=value.get("boot", "warm"), accelerator=value.get("accel", "auto"), retries=value.get("retries", 0),
        lock=matrix.lock_path(kernels, root), trust_imported=value.get("trust_imported", True),
        limits=value.get("limits", "generous"),
        rootfs=brought.rootfs(value.get("guest", {}).get("rootfs"), root),
        store=_store(value.get("store"), root),
        cluster=_cluster(value.get("cluster"), root),
    )  # fmt: skip


def _workdir(file: Path, root: Path) -> Path:
    """Return where a project's verdicts are kept: apart for each file of a folder that is not called bpfcompat.yaml."""
    return root / WORKDIR_NAME if file.name == FILE_NAME else root / WORKDIR_NAME / file.name


def _rows(read: Document) -> list[dict[str, Any]]:
    """Return what is said of each check, with what is said once for all of them.

    What stands beside `checks:` is the default of every check; what a check says itself wins. Of `env` and `expect` each
    name is a default by itself. Raises BpfcompatError for what can be the default of no check.
    """
    value = read.value
    shared = {key: value[key] for key in value if key not in (*_PROJECT_KEYS, "checks")}
    if "checks" not in value:
        return [shared]
    for key in shared:
        if key not in _DEFAULTS:
            raise BpfcompatError(
                f"{read.where((key,))}: `{key}` cannot be said for all checks at once.",
                "write it in the check that it is for",
            )
    rows = [_with_defaults(row, shared) for row in value["checks"]]
    for index, row in enumerate(rows):
        if "command" not in row and "artifact" not in row:
            raise BpfcompatError(
                f"{read.where(('checks', index))}: there is neither a command to run nor an artifact.",
                "add a line `command: $BPFCOMPAT_BIN --self-test`",
            )
    for key in shared:
        if not any(key in row for row in rows):
            raise BpfcompatError(
                f"{read.where((key,))}: `{key}` belongs to a command, and no check has one.",
                "remove it, or add `command:`",
            )
    return rows


def _with_defaults(row: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    of_this = {key: shared[key] for key in shared if "command" in row or key not in _OF_A_COMMAND}
    merged = {key: {**of_this[key], **row.get(key, {})} for key in _BY_NAME if key in of_this}
    return {**of_this, **row, **merged}


def _cluster(said: str | dict[str, Any] | None, root: Path) -> ClusterSettings | None:
    if not said:
        return None
    settings: dict[str, Any] = {"address": said} if isinstance(said, str) else said
    tls = root / settings["tls"] if "tls" in settings else None
    return ClusterSettings(settings["address"], settings.get("same", False), tls)


def _store(name: str | None, root: Path) -> str | None:
    return name if name is None or re.match(r"[a-z][a-z0-9+.-]+:", name) else str(root / name)


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
) -> tuple[str, Validation | None, tuple[str, ...]]:
    """Return a check's command, how its artifact is tried where there is none, and the profiles that its manifest requires."""
    if "command" not in row:
        from bpfcompat.project import manifest  # with it comes what only objects without a loader need

        path = root / row["manifest"] if "manifest" in row else None
        validation, required = manifest.load(path, row.get("validation_mode"))
        return manifest.command(validation), validation, required
    for key in ("manifest", "validation_mode"):
        if key in row:
            raise BpfcompatError(
                f"{read.where((*location, key))}: `{key}` is for an artifact without a command.",
                "remove it, or `command:`",
            )
    return row["command"], None, ()


def _built(row: dict[str, Any], key: str, root: Path) -> tuple[Path | None, tuple[tuple[str, str, Path], ...]]:
    """Return a file that is built, and where there is one for each architecture, all of them; this machine's stands for them."""
    named = row.get(key)
    if not isinstance(named, dict):
        return (root / named if named else None), ()
    files = {arch: root / name for arch, name in named.items()}
    shown = files.get(architecture.host().name) or next(iter(files.values()))
    return shown, tuple((key, arch, file) for arch, file in files.items())


def _refuse_lacking(read: Document, checks: Iterable[Check], kernels: Matrix) -> None:
    """Raise BpfcompatError if a check has files by architecture, and none for a profile's."""
    for index, check in enumerate(checks):
        for key in dict.fromkeys(key for key, _, _ in check.by_arch):
            known = [arch for one, arch, _ in check.by_arch if one == key]
            for profile in kernels.profiles:
                if profile.arch not in known:
                    location = ("checks", index) if "checks" in read.value else ()
                    raise BpfcompatError(
                        f"{_where(read, location, key)}: `{key}` has no file for {profile.arch}, which the profile"
                        f" '{profile.id}' is of.",
                        f"add `{profile.arch}: FILE`",
                    )


def _check(read: Document, row: dict[str, Any], location: Location, root: Path) -> Check:
    command, validation, required = _validation(read, row, location, root)
    refuse_long_command(command, read.where((*location, "command" if "command" in row else "artifact")))
    if validation:
        for key in _OF_A_COMMAND:
            if key in row:
                raise BpfcompatError(
                    f"{read.where((*location, key))}: `{key}` belongs to a command, and there is none.",
                    "add `command:`",
                )
    if row.get("bundle_libs") and "binary" not in row:
        raise BpfcompatError(
            f"{_where(read, location, 'bundle_libs')}: `bundle_libs` is for a binary, and there is none.",
            "add `binary:`",
        )
    for name in row.get("env", {}):
        brought.variable(name, _where(read, location, "env", name))
    binary, binaries = _built(row, "binary", root)
    artifact, artifacts = _built(row, "artifact", root)
    files = row.get("files", [])
    expect = row.get("expect", {})
    for stream in ("stdout", "stderr", "not_stdout", "not_stderr"):
        _refuse_bad_pattern(expect.get(stream, ""), read, location, "expect", stream)
    return Check(
        command=command,
        name=row.get("name", "command"),
        binary=binary,
        bundle_libs=row.get("bundle_libs", False),
        artifact=artifact,
        by_arch=(*binaries, *artifacts),
        tools=tuple(brought.tool(name, root) for name in read.value.get("guest", {}).get("tools", ())),
        files=tuple(root / name for name in files) if isinstance(files, list) else (),
        placed=_placed(read, location, files, root) if isinstance(files, dict) else (),
        root=root,
        env=tuple((name, read.text(_place(read, location, "env", name))) for name in sorted(row.get("env", {}))),
        expect=Expectation(**{**expect, **({"exit": row["ready"].get("exit", 0)} if "ready" in row else {})}),
        results=row.get("results", {}).get("format"),
        results_path=_results_path(read, row, location),
        ready=_ready(read, row, location),
        timeout=matrix.seconds(row["timeout"]) if "timeout" in row else None,
        collect=_collect(read, row, location),
        collect_limit=_collect_limit(read, row, location),
        validation=validation,
        guest_modules=_modules(read.value, row if location else {}),
        required_profiles=required,
    )


def _ready(read: Document, row: dict[str, Any], location: Location) -> Ready | None:
    """Return the sign of a command that does not end by itself; raises BpfcompatError."""
    if "ready" not in row:
        if "while_ready" in row:
            raise BpfcompatError(
                f"{_where(read, location, 'while_ready')}: `while_ready` runs once a command is ready, and nothing says when.",
                "add a line `ready: {stdout: attached}`",
            )
        return None
    ready = row["ready"]
    signs = [name for name in _SIGNS if name in ready]
    if len(signs) != 1:
        raise BpfcompatError(
            f"{_where(read, location, 'ready')}: `ready` has {'no sign' if not signs else 'more than one sign'}.",
            "name one of stdout, stderr, file, notify, for instance `ready: {stdout: attached}`",
        )
    if "exit" in row.get("expect", {}):
        raise BpfcompatError(
            f"{_where(read, location, 'expect', 'exit')}: the exit code of a command with `ready` is said there.",
            "write `exit` in `ready`, and not in `expect`",
        )
    stream = signs[0] if signs[0] in {"stdout", "stderr"} else None
    pattern = ready[stream] if stream else ""
    _refuse_bad_pattern(pattern, read, location, "ready", signs[0])
    if "while_ready" in row:
        refuse_long_command(row["while_ready"], _where(read, location, "while_ready"))
    within = matrix.seconds(ready.get("within", 20))
    return Ready(stream, pattern, ready.get("file"), within, ready.get("signal", "INT"), row.get("while_ready"))


def _refuse_bad_pattern(pattern: str, read: Document, location: Location, *key: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise BpfcompatError(
            f"{_where(read, location, *key)}: {'.'.join(key)} is not a regular expression: {error}.",
            "escape it, or quote it with '...'",
        ) from error


def _collect(read: Document, row: dict[str, Any], location: Location) -> tuple[str, ...]:
    try:
        named = [collect.pattern(text, "collect") for text in row.get("collect", ())]
    except BpfcompatError as error:
        raise BpfcompatError(f"{_where(read, location, 'collect')}: {error.message}", error.hint) from error
    path = _results_path(read, row, location)
    return tuple(dict.fromkeys([*named, path] if path else named))


def _results_path(read: Document, row: dict[str, Any], location: Location) -> str | None:
    """Return the file that tells of the tests, which comes out as if `collect` named it; None if stdout does."""
    path = row.get("results", {}).get("path")
    if path is None:
        return None
    where = _where(read, location, "results", "path")
    if any(character in path for character in "*?[\\"):
        raise BpfcompatError(f"{where}: '{path}' is a pattern, and results are read from one file.", "name the file")
    return collect.pattern(path, where)


def _collect_limit(read: Document, row: dict[str, Any], location: Location) -> int:
    if "collect_limit" not in row:
        return COLLECT_LIMIT_MIB
    if "collect" not in row:
        raise BpfcompatError(
            f"{_where(read, location, 'collect_limit')}: `collect_limit` is for what `collect` names, and there is none.",
            "add a line `collect: [core.*]`",
        )
    try:
        return collect.limit(matrix.megabytes(row["collect_limit"]), "collect_limit")
    except BpfcompatError as error:
        raise BpfcompatError(f"{_where(read, location, 'collect_limit')}: {error.message}", error.hint) from error


def _modules(project: dict[str, Any], row: dict[str, Any]) -> tuple[str, ...]:
    """Return the kernel modules that the project and the check want, each once."""
    return tuple(dict.fromkeys(name for one in (project, row) for name in one.get("guest", {}).get("modules", ())))


def _place(read: Document, location: Location, *key: str) -> Location:
    """Return where something that holds for a check is said: in the check, or beside `checks:` for all of them."""
    value: Any = read.value
    for step in location:
        value = value[step]
    for step in key:
        if not isinstance(value, dict) or step not in value:
            return key
        value = value[step]
    return (*location, *key)


def _where(read: Document, location: Location, *key: str) -> Where:
    return read.where(_place(read, location, *key))


def _placed(read: Document, location: Location, files: dict[str, str], root: Path) -> tuple[tuple[Path, str], ...]:
    """Return files with their places in the guest; raises BpfcompatError for a place where nothing can be copied to."""
    return tuple(
        (root / name, brought.place(place, _where(read, location, "files", name))) for name, place in files.items()
    )


def refuse_long_command(command: str, where: object) -> None:
    """Raise BpfcompatError for a command that no kernel would accept as one operand, or that has a NUL in it."""
    size = len(command.encode(errors="surrogateescape"))
    if size > COMMAND_BYTES_AT_MOST:
        raise BpfcompatError(
            f"{where}: the command has {size:,} bytes; Linux accepts {COMMAND_BYTES_AT_MOST:,} in one operand.",
            "put it into a script, ship that with `files: [script.sh]` and run `bash script.sh`",
        )
    if "\0" in command:
        raise BpfcompatError(f"{where}: the command has a NUL character in it, which no shell can be given.")

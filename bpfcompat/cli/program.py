"""What `bpfcompat exec` was asked for: the kernels, what the program finds there, and what came of it."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bpfcompat.cli.output import Out, Prefixed, say
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import collect
from bpfcompat.model import Matrix as Kernels
from bpfcompat.model import Profile, Project
from bpfcompat.outcome import Outcome, OutcomeKind
from bpfcompat.system import host, processes
from bpfcompat.vm import job
from bpfcompat.workflow import ahead, programs

_LOG_LINES = 100
_READER_GONE = 141
"""128 and SIGPIPE's number: what a program has that nobody reads any more."""
_SESSION = frozenset((
    "XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "GPG_AGENT_INFO", "LD_PRELOAD", "LD_AUDIT", "PWD", "OLDPWD",
    "SHLVL", "_",
))  # fmt: skip
"""What names the session of the caller, or files that are not in the guest; beside what begins so:"""
_SESSION_BEGINNINGS = ("SSH_", "DBUS_", "XDG_SESSION_")
_SECRETS = (
    "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY", "SIGNING_KEY",
    "AUTH",
)  # fmt: skip
"""What must not get to where the program's output may be published: names with this in them, in capitals or not, or that begin so:"""
_SECRET_BEGINNINGS = ("ACTIONS_", "AWS_")
_GO_OUTPUT = re.compile(
    r"--?test\.(?:coverprofile|gocoverdir|cpuprofile|memprofile|blockprofile|mutexprofile|trace)=(.+)"
)
"""Flags of Go's package testing that name a file or folder of its own."""


def run(options: argparse.Namespace, waiting: ahead.Ahead) -> int:
    """Run one program and return its exit code, as `docker run` would: 125 for what is not the program's own.

    waiting: what may be the machine, if it is one kernel.
    """
    project = _project(options)
    wanted = programs.Wanted(
        tuple(options.rest), Path(os.environ.get("PWD", "")) if _is_here(os.environ.get("PWD", "")) else Path.cwd(),
        environment(os.environ, options.env), tuple(folder.absolute() for folder in options.share),
        0 if options.interactive else None, _seconds(options.timeout), options.cold,
        tuple(collect.pattern(text, "--collect") for text in options.collect), outputs(options.rest[1:]),
    )  # fmt: skip
    profiles = project.matrix.profiles
    if len(profiles) > 1:
        waiting.drop()
    runner = programs.Programs(project, host.cache_folder(), say, waiting if len(profiles) == 1 else None)
    out, err = Out(1), Out(2)
    try:
        if len(profiles) == 1:
            result = _one(runner, wanted, profiles[0], out, err)
            return _READER_GONE if out.gone or err.gone else result.code
        return _several(runner, wanted, profiles, out, err)
    except programs.ProgramNotFoundError as error:
        say(str(error))
        return programs.NOT_FOUND


# ---- which kernels ----


def _project(options: argparse.Namespace) -> Project:
    """Return the kernels that were asked for, as a project without checks; raises BpfcompatError."""
    kernel = options.kernel
    if kernel and (options.profile or options.matrix):
        raise BpfcompatError("--kernel names one kernel; --profile and --matrix others.", "leave one of them out")
    if kernel:
        from bpfcompat import architecture, kernels

        kernels.refuse_foreign(kernel)
        named = architecture.named(kernel)
        profile = Profile(kernel, kernel, root=Path.cwd(), arch=named.name if named else "")
        return _adjusted(Project((), Kernels((profile,)), Path()), options)
    return _adjusted(_declared(options), options)


def _declared(options: argparse.Namespace) -> Project:
    # With it comes yaml, which one kernel by its name does not need.
    from bpfcompat.project import FILE_NAME, load_project, matrix

    here = Path.cwd()
    beside = next((folder for folder in (here, *here.parents) if (folder / FILE_NAME).is_file()), None)
    if options.matrix:
        found = matrix.load(options.matrix, Path())
        project = Project((), found, Path(), lock=matrix.lock_path(found, here))
    elif beside:
        project = load_project(beside)
    elif options.profile:
        found = matrix.catalogue()
        project = Project((), found, Path(), lock=None)
    else:
        raise BpfcompatError(
            "no kernel was named.", f"add --kernel apt:bookworm/linux-image-cloud-amd64, or set ${host.KERNEL_VARIABLE}"
        )
    if options.profile:
        return replace(project, matrix=matrix.select(project.matrix, [options.profile]))
    if not options.matrix and len(project.matrix.profiles) > 1:
        ids = ", ".join(profile.id for profile in project.matrix.profiles)
        raise BpfcompatError("the project has several kernels, and none was named.", f"add --profile with one of {ids}")
    return project


def _adjusted(project: Project, options: argparse.Namespace) -> Project:
    changes: dict[str, object] = {}
    if options.memory:
        changes["memory"] = host.size(options.memory, "--memory") >> 20
    if options.cpus:
        changes["cpus"] = options.cpus
    if options.cmdline:
        changes["cmdline"] = options.cmdline
    profiles = tuple(replace(profile, **changes) for profile in project.matrix.profiles)  # type: ignore[arg-type]
    return replace(project, matrix=replace(project.matrix, profiles=profiles), rootfs=None)


def _seconds(text: str | None) -> float:
    if not text:
        return job.FOREVER
    from bpfcompat.cli import common

    return common.duration(text, "--timeout")


def _is_here(path: str) -> bool:
    """Tell whether a path names the working directory: the shell's own name for it may lead over links."""
    with contextlib.suppress(OSError):
        return path.startswith("/") and Path(path).samefile(".")
    return False


# ---- what the program finds ----


def environment(ours: Mapping[str, str], added: list[str]) -> dict[str, str]:
    """Return a program's environment: ours without what names this session or may be a secret, and what was added.

    added: NAME=VALUE, or NAME for our own value of it, whatever it is.
    Raises BpfcompatError for a name that we do not have.
    """
    kept = {name: value for name, value in ours.items() if not _is_private(name)}
    for text in added:
        name, given, value = text.partition("=")
        if not name or (not given and name not in ours):
            raise BpfcompatError(f"--env {text}: there is no such variable here.", f"--env {name or 'NAME'}=VALUE")
        kept[name] = value if given else ours[name]
    path = [folder for folder in kept.get("PATH", "").split(":") if folder]
    kept["PATH"] = ":".join(dict.fromkeys([*path, *job.ENVIRONMENT["PATH"].split(":")]))
    return kept


def _is_private(name: str) -> bool:
    capitals = name.upper()
    return (
        name in _SESSION
        or name.startswith(_SESSION_BEGINNINGS)
        or capitals.startswith(_SECRET_BEGINNINGS)
        or any(part in capitals for part in _SECRETS)
    )


def outputs(arguments: Sequence[str]) -> tuple[Path, ...]:
    """Return what `go test` wants a test program to write for it: it reads these files when the program is over."""
    found = (_GO_OUTPUT.fullmatch(text) for text in arguments)
    return tuple(Path(one[1]) for one in found if one and one[1].startswith("/"))


# ---- running ----


@dataclass(frozen=True)
class _Result:
    code: int
    seconds: float


def _one(
    runner: programs.Programs, wanted: programs.Wanted, profile: Profile, out: Out | Prefixed, err: Out | Prefixed
) -> _Result:
    started = time.monotonic()
    try:
        outcome = runner.run(wanted, profile, {"stdout": out, "stderr": err})
    except NoVerdict as error:
        outcome = error.outcome()
    code = programs.exit_code(outcome)
    if outcome.kind is not OutcomeKind.ENDED and not processes.interrupted() and not out.gone:
        say(_sentence(outcome, profile))
        sys.stderr.write("".join(f"  {line}\n" for line in outcome.kernel_log.splitlines()[-_LOG_LINES:]))
    for note in _notes(outcome):
        say(note)
    return _Result(code, time.monotonic() - started)


def _notes(outcome: Outcome) -> Iterator[str]:
    yield from outcome.notes
    if outcome.taint and outcome.taint.after != outcome.taint.before:
        from bpfcompat.verdict import taint  # few programs taint their kernel

        if sentence := taint.sentence(outcome.taint):
            yield f"{sentence}."


def _sentence(outcome: Outcome, profile: Profile) -> str:
    said = outcome.reason
    return f"{profile.id}: {said}" if profile.id != profile.kernel else said


def _several(
    runner: programs.Programs, wanted: programs.Wanted, profiles: tuple[Profile, ...], out: Out, err: Out
) -> int:
    width = max(len(profile.id) for profile in profiles)

    def one(profile: Profile) -> _Result:
        prefix = f"{profile.id:<{width}} | ".encode()
        lines = Prefixed(out, prefix), Prefixed(err, prefix)
        try:
            return _one(runner, wanted, profile, *lines)
        finally:
            for stream in lines:
                stream.close()

    from concurrent.futures import ThreadPoolExecutor

    memory = max(profile.memory for profile in profiles)
    with ThreadPoolExecutor(host.jobs(memory)) as pool:
        results = list(pool.map(one, profiles))
    if out.gone or err.gone:
        return _READER_GONE
    from tabulate import tabulate

    rows = [
        (profile.id, result.code, f"{result.seconds:.1f} s") for profile, result in zip(profiles, results, strict=True)
    ]
    sys.stderr.write(tabulate(rows, ("KERNEL", "EXIT", "TIME"), tablefmt="plain", disable_numparse=True) + "\n")
    return next((result.code for result in results if result.code), 0)

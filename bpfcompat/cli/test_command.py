"""`bpfcompat test-command` and `bpfcompat test`: one command, or one object, on a matrix, said in flags."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bpfcompat.cli import common
from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Check, Expectation, Project
from bpfcompat.project import WORKDIR_NAME, brought, manifest, matrix, refuse_long_command, refuse_unknown_profiles
from bpfcompat.validation import Validation

_SOURCE = ("name", "version", "variant", "uri")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of test-command."""
    add_flags(parser, "--cmd", "--bin", "--expect-exit")


def add_flags(parser: argparse.ArgumentParser, command: str, binary: str, expect: str) -> None:
    """Add the verb's arguments under the given names; everything else is the same for both verbs."""
    parser.add_argument(
        command, dest="command", metavar="COMMAND", help="what to run: one operand of bash -lc, as root"
    )
    parser.add_argument(
        binary, dest="binary", type=Path, metavar="FILE", help="a binary to ship; $BPFCOMPAT_BIN in the guest"
    )
    parser.add_argument(
        expect, dest="expect_exit", type=int, default=0, metavar="N", help="the exit code that passes (default: 0)"
    )
    parser.add_argument(
        "--artifact", type=Path, metavar="FILE", help="a file to ship; $BPFCOMPAT_ARTIFACT in the guest"
    )
    for part in _SOURCE:
        parser.add_argument(f"--artifact-{part}", metavar=part.upper(), help=f"the artifact's {part}, for the report")
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE", help="what the artifact's own loader knows about it, without a command"
    )
    parser.add_argument(
        "--validation-mode", choices=manifest.MODES, help="what is tried with an artifact without a command"
    )
    parser.add_argument(
        "--file", action="append", default=[], dest="files", metavar="PATH[=/PLACE]",
        help="a file or folder below this one, to its name in the guest's working directory; or from anywhere, to a place (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a variable of the command (repeatable)"
    )
    parser.add_argument(
        "--tool", action="append", default=[], dest="tools", metavar="NAME|PATH",
        help="a program of this machine, with its libraries (repeatable)",
    )  # fmt: skip
    parser.add_argument("--rootfs", metavar="DIR|TAR|oci:REF", help="the guest's userland instead of bash and busybox")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--matrix", metavar="FILE|NAME", help="the kernels: a file, or a shipped matrix (mvp, quick)")
    where.add_argument("--quick", action="store_true", help="the same as --matrix quick")
    parser.add_argument(
        "--workdir", type=Path, default=Path(WORKDIR_NAME), metavar="DIR", help="where verdicts are kept"
    )
    common.add_run_flags(parser)
    parser.set_defaults(run=run, flags=(command, binary, expect))


def run(options: argparse.Namespace) -> int:
    """Run one command on a matrix."""
    source = {part: getattr(options, f"artifact_{part}") for part in _SOURCE if getattr(options, f"artifact_{part}")}
    return common.execute(_project(options), options, source)


def _project(options: argparse.Namespace) -> Project:
    flags = options.flags
    if (options.command or "").strip():
        command, validation, required = _command(options)
    else:
        validation, required = _validation(options)
        command = manifest.command(validation)
    refuse_long_command(command, flags[0])
    if not 0 <= options.expect_exit <= 255:
        raise BpfcompatError(f"{flags[2]} {options.expect_exit} is not an exit code.", "an exit code is 0 to 255")
    if not options.matrix and not options.quick:
        raise BpfcompatError("there is no matrix to run on.", "add --quick, --matrix mvp, or --matrix FILE")
    check = Check(
        command=command,
        binary=options.binary.absolute() if options.binary else None,
        artifact=options.artifact.absolute() if options.artifact else None,
        expect=Expectation(options.expect_exit),
        validation=validation,
        required_profiles=required,
        root=Path().absolute(),
        **_brought(options),
    )
    kernels = matrix.for_loaders(matrix.load(options.matrix or "quick", Path()), [check])
    refuse_unknown_profiles([check], kernels)
    return Project(
        (check,), kernels, options.workdir.absolute(), lock=matrix.lock_path(kernels, Path().absolute()),
        rootfs=brought.rootfs(options.rootfs, Path().absolute()),
    )  # fmt: skip


def _brought(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the flags bring into the guest, as fields of a check; raises BpfcompatError."""
    here = Path().absolute()
    split = [
        (path, f"/{place}" if equals else "") for path, equals, place in (one.partition("=/") for one in options.files)
    ]
    pairs = [one.partition("=") for one in options.env]
    for name, equals, _ in pairs:
        brought.variable(name if equals else "", f"--env {name}")
    return {
        "files": tuple(here / path for path, place in split if not place),
        "placed": tuple((here / path, brought.place(place, f"--file {path}")) for path, place in split if place),
        "env": tuple(sorted({name: value for name, _, value in pairs}.items())),
        "tools": tuple(brought.tool(name, here) for name in options.tools),
    }


def _command(options: argparse.Namespace) -> tuple[str, None, tuple[str, ...]]:
    if options.manifest or options.validation_mode:
        flag = options.flags[0]
        raise BpfcompatError(
            f"--manifest and --validation-mode have no meaning with {flag}.", f"leave {flag} out, or them"
        )
    return options.command, None, ()


def _validation(options: argparse.Namespace) -> tuple[Validation, tuple[str, ...]]:
    command, binary, expect = options.flags
    hint = f"add {command} '$BPFCOMPAT_BIN --self-test'"
    if options.binary:
        raise BpfcompatError(f"{binary} has no meaning without {command}.", hint)
    if options.expect_exit != 0:
        raise BpfcompatError(f"{expect} has no meaning without {command}.", hint)
    if not options.artifact:
        raise BpfcompatError("there is nothing to run: no command and no artifact.", hint)
    return manifest.load(options.manifest, options.validation_mode)

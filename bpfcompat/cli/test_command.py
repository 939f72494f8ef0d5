"""`bpfcompat test-command` and `bpfcompat test`: one command on a matrix, said in flags."""

from __future__ import annotations

import argparse
from pathlib import Path

from bpfcompat import config, matrix
from bpfcompat.cli import common
from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Check, Expectation, Project

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
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--matrix", metavar="FILE|NAME", help="the kernels: a file, or a shipped matrix (mvp, quick)")
    where.add_argument("--quick", action="store_true", help="the same as --matrix quick")
    parser.add_argument(
        "--workdir", type=Path, default=Path(config.WORKDIR_NAME), metavar="DIR", help="where verdicts are kept"
    )
    common.add_run_flags(parser)
    parser.set_defaults(run=run, flags=(command, binary, expect))


def run(options: argparse.Namespace) -> int:
    """Run one command on a matrix."""
    source = {part: getattr(options, f"artifact_{part}") for part in _SOURCE if getattr(options, f"artifact_{part}")}
    return common.execute(_project(options), options, source)


def _project(options: argparse.Namespace) -> Project:
    flags = options.flags
    if not (options.command or "").strip():
        _refuse_missing_command(options)
    config.refuse_long_command(options.command, flags[0])
    if not 0 <= options.expect_exit <= 255:
        raise BpfcompatError(f"{flags[2]} {options.expect_exit} is not an exit code.", "an exit code is 0 to 255")
    if not options.matrix and not options.quick:
        raise BpfcompatError("there is no matrix to run on.", "add --quick, --matrix mvp, or --matrix FILE")
    check = Check(
        command=options.command,
        binary=options.binary.absolute() if options.binary else None,
        artifact=options.artifact.absolute() if options.artifact else None,
        expect=Expectation(options.expect_exit),
    )
    kernels = matrix.load(options.matrix or "quick", Path())
    return Project((check,), kernels, options.workdir.absolute(), lock=matrix.lock_path(kernels, Path().absolute()))


def _refuse_missing_command(options: argparse.Namespace) -> None:
    command, binary, expect = options.flags
    hint = f"add {command} '$BPFCOMPAT_BIN --self-test'"
    if options.binary:
        raise BpfcompatError(f"{binary} has no meaning without {command}.", hint)
    if options.expect_exit != 0:
        raise BpfcompatError(f"{expect} has no meaning without {command}.", hint)
    if options.artifact:
        raise BpfcompatError("testing an artifact without a command is not there yet.", hint)
    raise BpfcompatError("there is nothing to run: no command and no artifact.", hint)

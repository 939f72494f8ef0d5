"""`bpfcompat exec`: one program on one or several kernels, as if it ran here; for `go test -exec` and cargo's runner."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import host, processes
from bpfcompat.workflow import ahead


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.usage = "bpfcompat exec [FLAG]... -- PROGRAM [ARGUMENT]..."
    parser.add_argument(
        "--kernel",
        metavar="SPEC",
        help=f"for instance apt:bookworm/linux-image-cloud-amd64 (default: ${host.KERNEL_VARIABLE})",
    )
    parser.add_argument(
        "--profile", metavar="ID", help="a profile of --matrix, of the project here, or of the shipped matrices"
    )
    parser.add_argument("--matrix", metavar="FILE|NAME", help="run on all its kernels")
    parser.add_argument(
        "--share", action="append", default=[], type=Path, metavar="DIR", help="bring this folder along (repeatable)"
    )
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME[=VALUE]", help="add to the environment (repeatable)"
    )
    parser.add_argument(
        "--collect",
        action="append",
        default=[],
        metavar="GLOB",
        help="bring these files back, for instance 'core.*' (repeatable)",
    )
    parser.add_argument("-i", "--interactive", action="store_true", help="pass standard input on")
    parser.add_argument("--memory", metavar="SIZE", help="of the guest (default: the profile's, or 512M)")
    parser.add_argument("--cpus", type=int, metavar="N", help="of the guest (default: the profile's, or 1)")
    parser.add_argument("--cmdline", metavar="WORDS", help="added to the kernel's command line")
    parser.add_argument("--timeout", metavar="TIME", help="limit for the program (default: none)")
    parser.add_argument("--cold", action="store_true", help="boot the kernel from its start")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run one program and return its exit code."""
    if not options.rest:
        raise BpfcompatError("there is no program to run.", "bpfcompat exec --kernel SPEC -- PROGRAM [ARGUMENT]...")
    if not (options.kernel or options.profile or options.matrix):
        options.kernel = os.environ.get(host.KERNEL_VARIABLE)
    with processes.interruptible(), ahead.Ahead(host.cache_folder(), _words(options)) as waiting:
        waiting.begin()
        from bpfcompat.cli import program  # with it comes nearly all of this package; QEMU starts meanwhile

        return program.run(options, waiting)


def _words(options: argparse.Namespace) -> tuple[str, ...] | None:
    """Return what tells the machines of two calls apart as far as their command lines do; None for no machine that could wait."""
    if options.cold:
        return None
    named = options.kernel, options.profile, options.matrix, options.memory, options.cpus, options.cmdline
    return (*(str(word) for word in named), "" if options.kernel else str(Path.cwd()))

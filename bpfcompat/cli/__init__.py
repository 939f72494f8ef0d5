"""The command line: one module a verb, imported only when the verb is called."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from bpfcompat.errors import BpfcompatError
from bpfcompat.model import VERSION
from bpfcompat.system import processes

__all__ = ["VERBS", "entry", "main"]

VERBS = {
    "init": "write a first bpfcompat.yaml and dodo.py into this folder",
    "run": "run this folder's bpfcompat.yaml, with exit codes for CI (doit does the same with doit's)",
    "watch": "the same, again and again, whenever an input changes",
    "explain": "tell why a kernel would run again, or would not",
    "logs": "print what a command and its kernel said",
    "report": "show a report.json again, as table, Markdown, JUnit or HTML, without running anything",
    "compare": "tell what changed between two reports, or two versions in the history",
    "history": "list the runs of a work directory, or verify that nothing was changed since",
    "kernels": "list, fetch, lock and update the kernels of a matrix",
    "doctor": "tell what this machine lacks to run the project here, and the command that mends it",
    "cluster": "make the keys with which the machines of a cluster know one another",
    "cache": "show and prune what is kept for all projects; export and import verdicts",
    "exec": "run one program on a kernel as if it ran here, for `go test -exec` and cargo",
    "shell": "open a shell in the guest of a check, or stop its kernel in gdb",
    "test-command": "run one command on a matrix of kernels",
    "test": "the same with the long flags of the published tool",
}
USAGE = 1
_OWN_FAILURE = {"exec": 125, "shell": 125}
"""What a verb ends with that otherwise ends as its program did: as docker and podman have it."""


class _Parser(argparse.ArgumentParser):
    """argparse, but for its exit status: 2 means that a kernel failed."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise BpfcompatError(f"{message}.", f"`{self.prog} --help` lists what there is")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (docs/contract: 0, 1, 2, 130)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    failure = _OWN_FAILURE.get(arguments[0], USAGE) if arguments else USAGE
    try:
        options = _parse(arguments)
        return int(options.run(options))
    except BpfcompatError as error:
        sys.stderr.write(f"bpfcompat: {error}\n")
        return failure
    except KeyboardInterrupt:
        sys.stderr.write("bpfcompat: interrupted\n")
        return processes.INTERRUPTED_STATUS
    except BrokenPipeError:
        return USAGE


def entry() -> NoReturn:
    """Run the command line and end the process with its exit code.

    Python takes 45 ms to free, one by one, what a process that ends leaves to the kernel anyway. Threads that are still at
    work, and output that nobody takes, are Python's to deal with.
    """
    gc.set_threshold(50_000)  # importing alone would set it off sixty times, and find nothing
    code = main()
    if threading.active_count() == 1:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="bpfcompat", description="Does my real eBPF loader come up on this kernel?", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=_version() if "--version" in arguments else "")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    chosen = arguments[0] if arguments and arguments[0] in VERBS else None
    for name in [chosen] if chosen else VERBS:
        verb = verbs.add_parser(name, help=VERBS[name], description=VERBS[name], allow_abbrev=False)
        if name == chosen:
            importlib.import_module(f"bpfcompat.cli.{name.replace('-', '_')}").configure(verb)
    if arguments[:1] != ["exec"]:
        return parser.parse_args(arguments)
    # argparse would take flags of the program for ours, and drop a later `--`.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:end])
    options.rest = arguments[end + 1 :]
    return options


def _version() -> str:
    return f"bpfcompat {VERSION}"

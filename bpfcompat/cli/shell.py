"""`bpfcompat shell PROFILE`: look around in the guest of a check, or stop its kernel in gdb."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import termios
import tty
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bpfcompat.cli.output import Out, say
from bpfcompat.errors import BpfcompatError, did_you_mean
from bpfcompat.model import Check, Profile, Project
from bpfcompat.outcome import OutcomeKind
from bpfcompat.system import host, processes

if TYPE_CHECKING:
    from bpfcompat.vm import machine

_Named = TypeVar("_Named", Profile, Check)
_LEAVE = b"\x1d\x1d\x1d"
"""Ctrl-], as of telnet, but three times: a shell in a hung guest answers to nothing else."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("profile", metavar="PROFILE", help="of the project here, or of the shipped matrices")
    parser.add_argument("--check", metavar="NAME", help="whose files, environment and modules (default: the first)")
    parser.add_argument("--gdb", action="store_true", help="wait for gdb before the kernel's first instruction")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run a shell in a guest and return its exit code."""
    if not (os.isatty(0) and os.isatty(1)):
        raise BpfcompatError("a shell needs a terminal.", "for a script: bpfcompat exec --profile ID -- sh -c '...'")
    from bpfcompat.workflow import programs, shells

    project = _project()
    profile = _named("profile", options.profile, {profile.id: profile for profile in project.matrix.profiles})
    checks = {check.name: check for check in project.checks}
    check = project.checks[0] if options.check is None else _named("check", options.check, checks)
    with processes.interruptible(), _Screen() as screen:
        terminal = shells.Terminal(
            *screen.size(),
            os.environ.get("TERM", "dumb"),
            0,
            {"stdout": Out(1), "stderr": Out(2)},
            screen.attach,
            _Leave(),
        )
        gdb = (lambda socket: _tell_gdb(socket, screen)) if options.gdb else None
        outcome = shells.run(project, check, profile, host.cache_folder(), terminal, screen.say, gdb)
    if outcome.kind is not OutcomeKind.ENDED and not processes.interrupted():
        say(outcome.reason)
    return programs.exit_code(outcome)


def _project() -> Project:
    from bpfcompat.project import FILE_NAME, load_project, matrix

    here = Path.cwd()
    if (here / FILE_NAME).is_file():
        return load_project(here)
    return Project((Check("true", root=here),), matrix.catalogue(), here)


def _named(kind: str, name: str, known: Mapping[str, _Named]) -> _Named:
    if name not in known:
        raise BpfcompatError(
            f"there is no {kind} '{name}' here.", did_you_mean(name, known, f"there are: {', '.join(known)}")
        )
    return known[name]


def _tell_gdb(socket: Path, screen: _Screen) -> None:
    screen.say(
        "the machine waits for gdb before its first instruction. In another terminal, with the kernel's debug file"
        " (Debian: /usr/lib/debug/boot/vmlinux-RELEASE of the package linux-image-RELEASE-dbg):"
    )
    screen.say(f"  gdb vmlinux -ex {shlex.quote(f'target remote {socket}')} -ex 'hbreak start_kernel' -ex continue")


class _Leave:
    """Ends the machine when that is typed."""

    def __init__(self) -> None:
        self._last = b""

    def __call__(self, keys: bytes) -> None:
        self._last = (self._last + keys)[-len(_LEAVE) :]
        if self._last == _LEAVE:
            processes.stop_all()


class _Screen:
    """Our terminal, which hands every key on from when the shell listens, and is as it was before at the end."""

    def __init__(self) -> None:
        self._typed: machine.Typed | None = None
        self._before = termios.tcgetattr(0)
        self._raw = False

    def __enter__(self) -> _Screen:
        self._handler = signal.signal(signal.SIGWINCH, self._resized)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGWINCH, self._handler)
        termios.tcsetattr(0, termios.TCSAFLUSH, self._before)

    def size(self) -> tuple[int, int]:
        """Return rows and columns."""
        size = os.get_terminal_size(0)
        return size.lines, size.columns

    def attach(self, typed: machine.Typed) -> None:
        """Hand keys and sizes on from now on."""
        self._typed = typed
        self._raw = True
        tty.setraw(0, termios.TCSADRAIN)
        typed.resize(*self.size())  # it may have changed while the machine came up

    def say(self, text: str) -> None:
        """Print a line."""
        sys.stderr.write(f"bpfcompat: {text}{chr(13) if self._raw else ''}\n")

    def _resized(self, _number: int, _frame: object) -> None:
        if self._typed:
            self._typed.resize(*self.size())

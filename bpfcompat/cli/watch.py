"""`bpfcompat watch`: the project runs again whenever something that it is made of changes."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bpfcompat.cli import common
from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Project
from bpfcompat.project import load_project, project_file

if TYPE_CHECKING:
    from bpfcompat.workflow import Standby

_QUIET_SECONDS = 0.1
"""A linker writes a program in many steps; it is whole when nothing has changed for so long."""
_CLEAR = "\x1b[2J\x1b[H"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "project", nargs="?", type=Path, default=Path(), help="a bpfcompat.yaml or its folder (default: here)"
    )
    common.add_run_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> NoReturn:
    """Run a project again and again, until it is interrupted."""
    from bpfcompat.workflow import Standby

    file = project_file(options.project)
    project = load_project(file)  # a mistake that is there from the start ends us, as it ends `run`
    with contextlib.closing(Standby.of(project, common.jobs(options.jobs))) as standby:
        _run_whenever(file, options, standby)


def _run_whenever(file: Path, options: argparse.Namespace, standby: Standby) -> NoReturn:
    """Run a project whenever one of its inputs changes; the machines of the next run wait meanwhile."""
    from bpfcompat.system import changes

    watched = [file.absolute()]
    while True:
        with changes.Changes() as seen:
            seen.watch(watched)
            try:
                project = load_project(file)
                watched = inputs(project, file)
                seen.watch(watched)
                if sys.stdout.isatty():
                    sys.stdout.write(_CLEAR)
                common.execute(project, options, standby=standby)
            except BpfcompatError as error:  # a file that is being built, or a project file half written
                sys.stderr.write(f"bpfcompat: {error}\n")
            sys.stdout.flush()
            seen.wait(_QUIET_SECONDS)


def inputs(project: Project, file: Path) -> list[Path]:
    """Return the files and folders whose change can change a verdict.

    file: the project's own.
    """
    found = [file, project.matrix.path, project.lock, project.rootfs if isinstance(project.rootfs, Path) else None]
    for check in project.checks:
        found += [check.binary, check.artifact, *check.tools, *(check.root / path for path in check.files)]
        found += [path for path, _ in check.placed]
    for profile in project.matrix.profiles:
        kind, _, rest = profile.kernel.partition(":")
        if kind in ("path", "deb", "rpm", "pkg", "dir"):
            found.append(profile.root / rest)
    return [path.absolute() for path in dict.fromkeys(found) if path]

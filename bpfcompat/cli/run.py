"""`bpfcompat run`: the project in this folder, with the exit codes of the contract."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from bpfcompat.cli import common
from bpfcompat.project import load_project


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "project", nargs="?", type=Path, default=Path(), help="a bpfcompat.yaml or its folder (default: here)"
    )
    parser.add_argument(
        "--workdir",
        type=Path,
        metavar="DIR",
        help="where verdicts are kept (default: below .bpfcompat beside the file)",
    )
    common.add_run_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run a project's checks on its matrix."""
    project = load_project(options.project)
    if options.workdir:
        project = replace(project, workdir=options.workdir.absolute())
    return common.execute(project, options)

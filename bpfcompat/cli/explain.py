"""`bpfcompat explain`: why a kernel would run again, or would not."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bpfcompat.cli import common
from bpfcompat.project import load_project
from bpfcompat.report import plain


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "kernel", nargs="?", default="*", metavar="KERNEL", help="a profile's id, or a pattern (default: all)"
    )
    parser.add_argument(
        "--project", type=Path, default=Path(), metavar="FILE", help="a bpfcompat.yaml or its folder (default: here)"
    )
    parser.add_argument(
        "--workdir",
        type=Path,
        metavar="DIR",
        help="where verdicts are kept (default: below .bpfcompat beside the file)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explain jobs; raises BpfcompatError for a mistake in the project, or a name that it does not have."""
    from bpfcompat.workflow import Session, explain

    project = load_project(options.project)
    if options.workdir:
        project = replace(project, workdir=options.workdir.absolute())
    session = Session(project)
    jobs = {job.name: job for job in session.jobs}
    for name in common.matching(jobs, options.kernel):
        found = explain.explain(session, jobs[name])
        lines = [f"{name} {found.headline}", *(f"  {line}" for reason in found.reasons for line in reason.splitlines())]
        sys.stdout.write("".join(f"{plain(line)}\n" for line in lines))
    return 0

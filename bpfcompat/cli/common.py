"""What the running verbs share: flags, their checks, and the way from a project to an exit code."""

from __future__ import annotations

import argparse
import fnmatch
import math
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bpfcompat.errors import BpfcompatError, did_you_mean
from bpfcompat.model import Project
from bpfcompat.project import matrix
from bpfcompat.system import destination

if TYPE_CHECKING:
    from bpfcompat.workflow import Standby


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how to run, the same for every verb."""
    parser.add_argument(
        "--profile", action="append", default=[], metavar="PATTERN", help="only profiles whose id matches (repeatable)"
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="only the I-th of N parts of the matrix; `bpfcompat report --merge` brings them together",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write report.json here (default: in the work directory)"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write a summary for a pull request or a CI job here"
    )
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help="write JUnit XML here, for a CI system's list of tests"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with all the evidence here")
    parser.add_argument(
        "--jobs", "--concurrency", default="auto", metavar="N|auto", help="machines at once (default: auto)"
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        help="limit for one boot and command (default: 180s, or more where their own add up to more)",
    )
    parser.add_argument(
        "--command-timeout", metavar="TIME", help="limit for the command (default: 60s, more on a slow machine)"
    )
    parser.add_argument(
        "--boot-timeout", metavar="TIME", help="limit for the boot (default: 30s, more on a slow machine)"
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="run the jobs on the workers of this dask scheduler (default: $BPFCOMPAT_CLUSTER, else the project's; '' means here)",
    )
    parser.add_argument("--force", action="store_true", help="run every kernel, whatever is stored")
    parser.add_argument("--failed", action="store_true", help="run only what did not pass last time")
    parser.add_argument("--bundle-libs", action="store_true", help="ship the shared libraries of the binary")
    parser.add_argument("--offline", action="store_true", help="fetch no kernels")
    parser.add_argument("--cold", action="store_true", help="boot every machine from its start")
    parser.add_argument("--keep", action="store_true", help="keep the payload disks of this run, and say where")
    parser.add_argument("--runner", default="vm", help=argparse.SUPPRESS)


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """Return the jobs that a pattern names, or whose profile it names; raises BpfcompatError if there are none."""
    known = list(names)
    found = [
        name for name in known if any(fnmatch.fnmatchcase(part, pattern) for part in (name, name.partition("/")[0]))
    ]
    if not found:
        hint = did_you_mean(pattern, known, f"there are: {', '.join(known[:20]) or 'none yet'}")
        raise BpfcompatError(f"no job is named '{pattern}'.", hint)
    return found


def duration(text: str, flag: str) -> float:
    """Return a flag's duration in seconds; raises BpfcompatError."""
    try:
        value = matrix.seconds(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise BpfcompatError(
            f"{flag} {text} is not a time limit.", f"write for instance {flag} 90s (ms, s, m and h are known)"
        )
    return value


def execute(
    project: Project,
    options: argparse.Namespace,
    source: dict[str, str] | None = None,
    standby: Standby | None = None,
) -> int:
    """Run a project by the flags, write and print the reports, and return the exit code.

    standby: where machines may wait that are restored already; those of the next run are left there.
    """
    from bpfcompat.report import Progress, gate, output
    from bpfcompat.system import processes
    from bpfcompat.workflow import Options, Session, engine

    wanted = output.Wanted(
        writable(options.out, "--out"), writable(options.markdown, "--markdown"),
        writable(options.junit, "--junit"), writable(options.html, "--html"), source or {},
    )  # fmt: skip
    how = Options(
        jobs=jobs(options.jobs),
        force=options.force,
        failed=options.failed,
        offline=options.offline,
        cold=options.cold,
        keep=options.keep,
        cluster=options.cluster,
        boot_seconds=duration(options.boot_timeout, "--boot-timeout") if options.boot_timeout else None,
        total_seconds=duration(options.timeout, "--timeout") if options.timeout else None,
    )
    progress = Progress(sys.stderr)
    session = Session(_adjusted(project, options), how, notice=progress.notice, standby=standby)
    with processes.interruptible():
        try:
            run = engine.run(session, progress)
        except KeyboardInterrupt:
            processes.stop_all()
            output.write(session.finish(), wanted)
            raise
        finally:
            session.close()
    output.write(run, wanted)
    if standby:
        session.expect_machines(session.jobs_by_urgency)
    return gate.summarize(run).exit_code


def _adjusted(project: Project, options: argparse.Namespace) -> Project:
    if options.runner != "vm":
        raise BpfcompatError(
            f"--runner {options.runner} cannot run commands; they need the machine that bpfcompat boots itself.",
            "--runner vm",
        )
    if options.bundle_libs:
        if not any(check.binary for check in project.checks):
            raise BpfcompatError("--bundle-libs is for a binary, and there is none.", "name one, or leave the flag out")
        project = replace(project, checks=tuple(replace(check, bundle_libs=True) for check in project.checks))
    if options.command_timeout:
        limit = duration(options.command_timeout, "--command-timeout")
        profiles = tuple(replace(profile, timeout=None) for profile in project.matrix.profiles)  # the flag wins
        project = replace(
            project,
            checks=tuple(replace(check, timeout=limit) for check in project.checks),
            matrix=replace(project.matrix, profiles=profiles),
        )
    project = replace(project, matrix=matrix.select(project.matrix, options.profile))
    if options.shard:
        from bpfcompat.project import shard
        from bpfcompat.records import history

        return shard.take(project, options.shard, history.seconds(project.workdir))
    return project


def jobs(text: str) -> int | None:
    """Return --jobs as a number, None for auto; raises BpfcompatError."""
    if text == "auto":
        return None
    if not text.isdigit() or not 1 <= int(text) <= 1024:
        raise BpfcompatError(f"--jobs {text} is not a number of machines.", "write --jobs 4, or --jobs auto")
    return int(text)


def writable(path: Path | None, flag: str) -> Path | None:
    """Refuse a report that could not be written before an hour of machines, not after."""
    return destination.check(path, flag) if path else None

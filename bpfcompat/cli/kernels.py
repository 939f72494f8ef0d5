"""`bpfcompat kernels`: which kernels a matrix names, what they are, and what they are locked to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bpfcompat import architecture, kernels
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.kernels import facts, lock, sweep, vendors
from bpfcompat.model import Matrix, Profile
from bpfcompat.project import FILE_NAME, load_project, matrix
from bpfcompat.system import host

OUTDATED = 2
_Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
"""Adds an action by its name, what runs it, and what it is for."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        action.set_defaults(run=run)
        return action

    _of_matrix(add)
    for action in actions.choices.values():
        action.add_argument("--matrix", metavar="FILE|NAME", help="a matrix (default: that of the project here)")
    _of_sources(add)


def _of_matrix(add: _Add) -> None:
    """Add what is done with the kernels of a matrix."""
    listing = add("list", _list, "list the kernels of a matrix, or what a source has")
    listing.add_argument("--available", metavar="apt:SUITE", help="list the kernels of a suite of Debian's instead")
    listing.add_argument("--arch", choices=architecture.ALL, default="", help="with --available: of which architecture")
    everything = {
        "fetch": (_fetch, "bring the kernels of a matrix into the store"),
        "lock": (_lock, "write what the kernels of a matrix are into its lock file, which every run honours"),
        "update": (_update, "lock kernels to what their sources have now"),
        "outdated": (_outdated, "compare the lock file with what the sources have now"),
        "show": (_show, "show what a kernel is, and what it can do"),
    }
    for name, (run, summary) in everything.items():
        action = add(name, run, summary)
        action.add_argument(
            "pattern",
            nargs=None if name == "show" else "?",
            default="*",
            metavar="ID",
            help="only profiles whose id matches",
        )
        if name == "show":
            action.add_argument("--json", action="store_true", help="print a list, with all that bpftool found")
        if name == "outdated":
            action.add_argument("--fail", action="store_true", help=f"exit {OUTDATED} if there is something newer")


def _of_sources(add: _Add) -> None:
    """Add what is done with what sources have."""
    swept = add("sweep", _sweep, "write a matrix of the newest kernels of a suite of Debian's")
    swept.add_argument(
        "--from", dest="source", required=True, metavar="apt:SUITE", help="for instance apt:trixie-backports"
    )
    swept.add_argument("--count", type=int, default=10, metavar="N", help="how many (default: 10)")
    swept.add_argument("--series", default="", metavar="X.Y", help="only of this series, like 6.12")
    swept.add_argument(
        "--flavour",
        default="cloud-amd64",
        help="amd64, cloud-amd64, rt-amd64, arm64, cloud-arm64 ... (default: %(default)s)",
    )
    swept.add_argument("--out", type=Path, metavar="FILE", help="write it here (default: to stdout)")

    add("vendors", _vendors, "list the vendors' kernels that have names, as the table of docs/kernels.md")
    trying = add(
        "try", _try, "fetch a vendor's kernel from its own server, boot it once, and print a report to send back"
    )
    trying.add_argument("name", metavar="VENDOR[:RELEASE[/FLAVOUR]]", help="almalinux:9, or almalinux for all of them")


def _vendors(options: argparse.Namespace) -> int:  # noqa: ARG001
    """Print what is known of each row, as Markdown."""
    from tabulate import tabulate

    rows = [vendors.described(name) for name in vendors.rows.names()]
    sys.stdout.write(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True) + "\n")
    return 0


def _try(options: argparse.Namespace) -> int:
    from bpfcompat.report import Progress
    from bpfcompat.system import processes
    from bpfcompat.workflow import trying

    booted = True
    with processes.interruptible():
        for profile in trying.profiles(options.name, Path().absolute()):
            passed, text = trying.tried(profile, host.cache_folder(), Progress(sys.stderr))
            sys.stdout.write(f"{text}\n\n")
            sys.stdout.flush()
            booted = booted and passed
    return 0 if booted else 1


def _matrix(options: argparse.Namespace) -> tuple[Matrix, Path]:
    """Return the matrix that is meant, of it what the pattern selects, and its lock file."""
    if options.matrix:
        found = matrix.load(options.matrix, Path())
        path = matrix.lock_path(found, Path().absolute())
    else:
        if not Path(FILE_NAME).exists():
            raise BpfcompatError(
                f"there is no {FILE_NAME} here, and no matrix is named.", "add --matrix mvp, or --matrix FILE"
            )
        project = load_project(Path())
        found, path = project.matrix, matrix.lock_path(project.matrix, Path().absolute())
    pattern = getattr(options, "pattern", "*")
    return matrix.select(found, [pattern] if pattern != "*" else []), path


def _list(options: argparse.Namespace) -> int:
    if options.available:
        rows = [[one.release, one.package, one.version, "" if one.whole else "without modules"] for one in sweep.available(
            options.available, host.cache_folder(), architecture.of(options.arch))]  # fmt: skip
        return _table(rows, ["release", "package", "version", ""])
    found, path = _matrix(options)
    cache, locks = host.cache_folder(), lock.read(path)
    rows = []
    for profile in found.profiles:
        kernel = kernels.pinned(profile, cache, locks.get(profile.id))
        size = f"{facts.size(kernel) / 1e6:,.0f} MB" if kernel else "-"
        state = ("without modules" if kernel.modules_disk is None else "") if kernel else "not fetched"
        rows.append([
            profile.id, kernel.release if kernel else "-", profile.kernel, "locked" if profile.id in locks else "-", size, state,
        ])  # fmt: skip
    return _table(rows, ["profile", "release", "kernel", "lock", "size", ""])


def _table(rows: Sequence[Sequence[str]], headers: list[str]) -> int:
    from tabulate import tabulate

    sys.stdout.write(tabulate(rows, headers, disable_numparse=True) + "\n")
    return 0


def _each(profiles: Sequence[Profile], work: Callable[[Profile], str]) -> int:
    """Do something for each profile, print a line for each, and return 1 if one failed."""
    code = 0
    for profile in profiles:
        try:
            sys.stdout.write(f"{profile.id}  {work(profile)}\n")
        except NoVerdict as error:
            sys.stdout.flush()
            sys.stderr.write(f"bpfcompat: {profile.id}: {error}\n")
            code = 1
        sys.stdout.flush()
    return code


def _fetch(options: argparse.Namespace) -> int:
    found, path = _matrix(options)
    cache, locks = host.cache_folder(), lock.read(path)

    def fetch(profile: Profile) -> str:
        locked = locks.get(profile.id)
        kernel = kernels.pinned(profile, cache, locked) or kernels.fetch(profile, cache, locked=locked)
        return f"{kernel.release} ({kernel.version})"

    return _each(found.profiles, fetch)


def _lock(options: argparse.Namespace) -> int:
    """Lock what is not locked yet; what is stays."""
    found, path = _matrix(options)
    before = lock.read(path)
    return _write_locks(path, [one for one in found.profiles if one.id not in before], fresh=False)


def _update(options: argparse.Namespace) -> int:
    found, path = _matrix(options)
    return _write_locks(path, found.profiles, fresh=True)


def _write_locks(path: Path, profiles: Sequence[Profile], *, fresh: bool) -> int:
    cache, locks = host.cache_folder(), dict(lock.read(path))

    def work(profile: Profile) -> str:
        before = locks.get(profile.id)
        kernel = None if fresh else kernels.pinned(profile, cache)
        now = lock.of(kernel or kernels.fetch(profile, cache))
        locks[profile.id] = now
        if before is None or before == now:
            return f"{now.version}" + ("" if before is None else " (as before)")
        return f"{before.version} -> {now.version}"

    code = _each(profiles, work)
    lock.write(path, locks)
    sys.stdout.write(f"{path.name}: {len(locks)} kernels locked\n")
    return code


def _outdated(options: argparse.Namespace) -> int:
    found, path = _matrix(options)
    cache, locks = host.cache_folder(), lock.read(path)
    if not locks:
        raise BpfcompatError(f"{path} is not there, so nothing is locked.", "bpfcompat kernels lock")
    moved: list[str] = []

    def compare(profile: Profile) -> str:
        locked = locks.get(profile.id)
        if locked is None:
            return "not locked"
        now = kernels.newest(profile, cache)
        if now is None:
            kernel = kernels.fetch(profile, cache)
            now = locked.version if locked.holds(kernel) else f"{kernel.version}, with other content"
        if now == locked.version:
            return f"{now} (newest)"
        moved.append(profile.id)
        return f"{locked.version} -> {now}"

    code = _each(found.profiles, compare)
    if moved:
        sys.stdout.write(f"{len(moved)} of {len(found.profiles)} are outdated: bpfcompat kernels update\n")
    return code or (OUTDATED if moved and options.fail else 0)


def _show(options: argparse.Namespace) -> int:
    """Show what kernels are; what they can do is asked of each once, by a boot."""
    import json

    from bpfcompat.report import Progress
    from bpfcompat.system import processes
    from bpfcompat.workflow import probing

    found, path = _matrix(options)
    cache, locks, described = host.cache_folder(), lock.read(path), []
    with processes.interruptible():
        for profile in found.profiles:
            kernel = kernels.pinned(profile, cache, locks.get(profile.id))
            if kernel is None:
                raise BpfcompatError(f"{profile.id} is not in the store yet.", f"bpfcompat kernels fetch {profile.id}")
            probed = probing.probe(profile, kernel, Progress(sys.stderr))
            rows = {"profile": profile.id, **facts.of(kernel), **probing.summary(kernel, probed)}
            described.append({**rows, "probed": probed})
            if not options.json:
                width = max(len(name) for name in rows)
                sys.stdout.write("".join(f"{name:{width}}  {value}\n" for name, value in rows.items()) + "\n")
    if options.json:
        sys.stdout.write(json.dumps(described, indent=2) + "\n")
    return 0


def _sweep(options: argparse.Namespace) -> int:
    if options.count < 1:
        raise BpfcompatError(f"--count {options.count} is not a number of kernels.", "write --count 10")
    text = sweep.matrix_of(options.source, host.cache_folder(), options.flavour, options.series, options.count)
    if options.out is None:
        sys.stdout.write(text)
        return 0
    from bpfcompat.cli import common
    from bpfcompat.system import destination

    target = common.writable(options.out, "--out")
    if target:
        destination.write(target, text.encode())
    sys.stdout.write(f"wrote {options.out}\n")
    return 0

"""`bpfcompat compare`: what changed between two reports."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bpfcompat.cli import common, report
from bpfcompat.errors import BpfcompatError
from bpfcompat.project import WORKDIR_NAME
from bpfcompat.records import history
from bpfcompat.report import compare, plain, view
from bpfcompat.system import atomic, destination

FAILED = 2
NO_VERDICT = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    for side, what in (("base", "old"), ("head", "new")):
        parser.add_argument(f"--{side}-report", type=Path, metavar="FILE", help=f"the {what} report.json")
        parser.add_argument(
            f"--{side}-version", metavar="VERSION", help=f"or the {what} version, or run, in the history"
        )
    parser.add_argument("--artifact-name", metavar="NAME", help="whose versions they are (default: any)")
    parser.add_argument(
        "--workdir", type=Path, default=Path(WORKDIR_NAME), metavar="DIR", help="whose history (default: %(default)s)"
    )
    parser.add_argument("--fail-on-regression", action="store_true", help="exit 2 if a required profile regressed")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON here as well")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare two reports; raises BpfcompatError for what is not there."""
    target = common.writable(options.out, "--out")
    found = compare.compare(*(view.read(_report(options, side)) for side in ("base", "head")))
    if target:
        destination.write(target, atomic.json_text(found.plain()).encode(errors="replace"))
    sys.stdout.write(atomic.json_text(found.plain()) if options.json else _text(found))
    if not options.fail_on_regression:
        return 0
    lost = any(change.change == "verdict_lost" and change.required for change in found.changes)
    return FAILED if found.regressed else NO_VERDICT if lost else 0


def _report(options: argparse.Namespace, side: str) -> dict[str, Any]:
    file, version = getattr(options, f"{side}_report"), getattr(options, f"{side}_version")
    if bool(file) == bool(version):
        raise BpfcompatError(
            f"compare needs one {side}: a report or a version.",
            f"add --{side}-report FILE, or --{side}-version VERSION (`bpfcompat history list`)",
        )
    if file:
        return report.load(file)
    return history.report(options.workdir, history.find(options.workdir, options.artifact_name, version))


def _text(found: compare.Comparison) -> str:
    from tabulate import tabulate

    changed = [change for change in found.changes if change.change != "unchanged"]
    rows = [
        [
            change.name if change.required else f"{change.name} (optional)",
            change.change.replace("_", " "),
            _words(change, lambda side: f"{side.status} ({side.ending})" if side.ending != "-" else side.status),
            _words(change, lambda side: side.classification or "-"),
            _words(change, lambda side: plain(side.kernel) or "-"),
        ]
        for change in changed
    ]
    table = tabulate(rows, ["profile", "change", "verdict", "class", "kernel"], disable_numparse=True)
    summary = (
        ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.counts.items() if count) or "no rows"
    )
    return f"{table}\n\n{summary}\n" if rows else f"{summary}\n"


def _words(change: compare.Change, what: Callable[[compare.Side], str]) -> str:
    """Return what both sides have in common, or "old -> new"."""
    words = [what(side) for side in (change.base, change.head) if side]
    return words[0] if len(set(words)) == 1 else " -> ".join(words)

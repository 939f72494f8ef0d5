"""`bpfcompat history`: the runs of a work directory."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.project import WORKDIR_NAME
from bpfcompat.records import history
from bpfcompat.report import gate, plain, view
from bpfcompat.system import atomic

_SYMBOLS = {"pass": ".", "fail": "F", "infra_error": "?", "xfail": "x", "xpass": "X"}
_TREND = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "action", choices=("list", "verify", "trend"),
        help="list the runs; verify that nothing was changed since; or show each profile's last 20 verdicts",
    )  # fmt: skip
    parser.add_argument(
        "--workdir", type=Path, default=Path(WORKDIR_NAME), metavar="DIR", help="(default: %(default)s)"
    )
    parser.add_argument("--artifact-name", metavar="NAME", help="only runs of this artifact")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="the last N runs (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show or verify a history; raises BpfcompatError if there is none."""
    if options.limit < 1:
        raise BpfcompatError(f"--limit {options.limit} is not a number of runs.", "write --limit 20")
    if options.action == "verify":
        return _verify(options)
    known = [entry for entry in history.entries(options.workdir) if options.artifact_name in {None, entry["name"]}]
    if options.action == "trend":
        return _trend(options, known[-min(options.limit, _TREND) :])
    if options.json:
        sys.stdout.write(atomic.json_text(known[-options.limit :]))
        return 0
    from tabulate import tabulate

    rows = [
        [entry["run_id"], plain(entry["name"]), plain(entry["version"]) if entry["version"] != entry["run_id"] else "-",
         plain(entry["matrix"]) or "-", entry["status"], gate.sentence(entry["counts"])]
        for entry in known[-options.limit :]
    ]  # fmt: skip
    sys.stdout.write(
        tabulate(rows, ["run", "what", "version", "matrix", "status", "verdicts"], disable_numparse=True) + "\n"
    )
    return 0


def _verify(options: argparse.Namespace) -> int:
    found = history.verify(options.workdir)
    if options.json:
        sys.stdout.write(atomic.json_text({"entries": found.entries, "problems": list(found.problems)}))
    else:
        lines = [*found.problems, f"{found.entries} runs, {len(found.problems) or 'no'} problems"]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if found.problems else 0


def _trend(options: argparse.Namespace, entries: list[history.Entry]) -> int:
    """Print a line a profile, a character a run: what is not in a run's matrix is a blank."""
    labels: dict[str, dict[str, str]] = {}
    for entry in entries:
        for row in view.read(history.report(options.workdir, entry)).rows:
            labels.setdefault(row.name, {})[entry["run_id"]] = row.label
    runs = [entry["run_id"] for entry in entries]
    if options.json:
        sys.stdout.write(atomic.json_text({"runs": runs, "profiles": labels}))
        return 0
    width = max((len(name) for name in labels), default=0)
    for name, found in labels.items():
        line = "".join(_SYMBOLS[found[run]] if run in found else " " for run in runs)
        sys.stdout.write(f"{name:{width}}  {line.rstrip()}\n")
    legend = ", ".join(f"{symbol} {label.replace('_', ' ')}" for label, symbol in _SYMBOLS.items())
    sys.stdout.write(f"\nthe last {len(runs)} runs, oldest first: {legend}\n")
    return 0

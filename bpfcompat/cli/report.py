"""`bpfcompat report`: a report.json in another format, or those of all shards as one, without running anything."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from bpfcompat.cli import common
from bpfcompat.errors import BpfcompatError
from bpfcompat.project import WORKDIR_NAME, schema
from bpfcompat.records import VerdictStore, history
from bpfcompat.report import gate, merge, output
from bpfcompat.system import destination


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--from", dest="source", type=Path, default=Path(WORKDIR_NAME) / "report.json", metavar="FILE",
        help="the report.json to read (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--merge", nargs="+", type=Path, metavar="FILE",
        help="the reports of all shards of a matrix (--shard): shown as one, whose exit code is that of the whole",
    )  # fmt: skip
    parser.add_argument(
        "--workdir", type=Path, default=Path(WORKDIR_NAME), metavar="DIR",
        help="whose history a merged run is added to (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--format", choices=output.RENDERED, default="table", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it here (default: to stdout)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Render a report again; raises BpfcompatError for a file that is no report, or for shards that do not belong together."""
    target = common.writable(options.out, "--out")
    report = _merged(options) if options.merge else load(options.source)
    text = output.render(report, options.format)
    if target is None:
        sys.stdout.write(text if text.endswith("\n") or not text else f"{text}\n")
    else:
        try:
            destination.write(target, text.encode(errors="replace"))
        except OSError as error:
            raise BpfcompatError(f"--out {target} cannot be written: {error.strerror}.") from error
    return gate.EXIT_CODES[report["summary"]["status"]] if options.merge else 0


def _merged(options: argparse.Namespace) -> dict[str, Any]:
    """Return the shards' reports as one, which is a run of its own in the history."""
    merged = merge.merge({str(path): _with_logs(load(path), path) for path in options.merge})
    merged["paths"] = {"json": str(options.out or ""), "run_dir": str(options.workdir.absolute())}
    try:
        VerdictStore(options.workdir.absolute()).prepare()
        history.append(options.workdir.absolute(), merged, output.render(merged, "json"))
    except (BpfcompatError, OSError) as error:
        sys.stderr.write(f"bpfcompat: this run is not in the history: {error}\n")
    return merged


def _with_logs(report: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a report whose logs are named where they are now: beside it, if its work directory was brought along."""
    run_dir, here = report["paths"]["run_dir"], path.absolute().parent
    for target in report["targets"]:
        for name in [name for name in target if name.endswith("_log")]:
            moved = here / os.path.relpath(target[name], run_dir)
            if not Path(target[name]).exists() and moved.exists():
                target[name] = str(moved)
    return report


def load(path: Path) -> dict[str, Any]:
    """Read a report.json; raises BpfcompatError for a file that is none."""
    hint = "name one that `bpfcompat run` or `doit` wrote"
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise BpfcompatError(f"{path} cannot be read: {error.strerror}.", hint) from error
    except (ValueError, RecursionError) as error:
        raise BpfcompatError(f"{path} is not JSON.", hint) from error
    if problems := schema.problems(value, "report"):
        raise BpfcompatError(f"{path} is not a report of this version: {problems[0][:300]}.", hint)
    report: dict[str, Any] = value
    return report

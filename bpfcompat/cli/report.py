"""`bpfcompat report`: a report.json in another format, without running anything."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bpfcompat.cli import common
from bpfcompat.errors import BpfcompatError
from bpfcompat.project import WORKDIR_NAME, schema
from bpfcompat.report import output
from bpfcompat.system import destination


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--from", dest="source", type=Path, default=Path(WORKDIR_NAME) / "report.json", metavar="FILE",
        help="the report.json to read (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--format", choices=output.RENDERED, default="table", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it here (default: to stdout)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Render a report again; raises BpfcompatError for a file that is no report."""
    target = common.writable(options.out, "--out")
    text = output.render(load(options.source), options.format)
    if target is None:
        sys.stdout.write(text if text.endswith("\n") or not text else f"{text}\n")
        return 0
    try:
        destination.write(target, text.encode(errors="replace"))
    except OSError as error:
        raise BpfcompatError(f"--out {target} cannot be written: {error.strerror}.") from error
    return 0


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

"""`bpfcompat logs`: what a command and its kernel said when they were run last."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bpfcompat.cli import common
from bpfcompat.errors import BpfcompatError
from bpfcompat.project import WORKDIR_NAME
from bpfcompat.records import Newest, VerdictStore
from bpfcompat.report import plain

_STREAMS = ("stdout", "stderr", "console")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "kernel", metavar="KERNEL", help="a profile's id, with /CHECK where there are several, or a pattern"
    )
    for stream in _STREAMS:
        parser.add_argument(f"--{stream}", action="append_const", dest="streams", const=stream, help=f"only {stream}")
    parser.add_argument(
        "--workdir", type=Path, default=Path(WORKDIR_NAME), metavar="DIR", help="(default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print logs, byte by byte where it is one and goes to a file; raises BpfcompatError for what is not there."""
    newest = Newest(VerdictStore(options.workdir))
    names = common.matching(newest.jobs(), options.kernel)
    logs = [
        (name, stream, options.workdir / _path(newest, name, stream))
        for name in names
        for stream in options.streams or _STREAMS
    ]
    for name, stream, path in logs:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BpfcompatError(f"{path} cannot be read: {error.strerror}.", "run it again: --force") from error
        if sys.stdout.isatty():
            data = plain(data.decode(errors="replace")).encode()
        if len(logs) > 1:
            gap = b"" if not data or data.endswith(b"\n") else b"\n"
            data = f"==> {name} {stream}\n".encode() + data + gap
        sys.stdout.buffer.write(data)
    sys.stdout.flush()
    return 0


def _path(newest: Newest, name: str, stream: str) -> Path:
    """Return where a log is, relative to the work directory."""
    record = newest.last(name)
    if record is None:
        raise BpfcompatError(f"nothing is known of {name} any more.", "run it again")
    if record.evidence is None:
        raise BpfcompatError(f"{name} has no logs, because nothing was booted: {record.verdict.reason.splitlines()[0]}")
    return Path(record.evidence) / f"{stream}.log"

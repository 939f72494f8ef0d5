"""What a guest is handed to do, as init reads it (guest/init/job.c): a check's command, or a program as it would run here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from bpfcompat.dataclass import dataclass
from bpfcompat.model import Check, Payload, Ready

Parts = Sequence[tuple[str, str]]
"""Names and values; some names come several times."""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
}
"""The same on every kernel; a check's `env:` comes on top, and nothing of the host's."""
FOREVER = 10 * 86400.0
"""Seconds that poll(2) can still count: the limit of what has none."""


@dataclass(frozen=True)
class Program:
    """A program with its arguments, in its own folder; no shell comes between."""

    arguments: tuple[str, ...]
    """With its own name first."""
    path: str
    """With a slash, or a name that the guest looks for in its PATH."""
    directory: str
    environment: tuple[tuple[str, str], ...]
    shares: tuple[str, ...] = ()
    """Where the payload's shares stand in the guest, in their order there."""
    copied: tuple[str, ...] = ()
    """Those of them that are small folders: they are copied there, and the others laid over, unless the whole payload is small."""
    folders: tuple[str, ...] = ()
    """Folders that it may count on, and that may be empty."""
    input: bool = False
    """It reads what the host sends."""
    collect: tuple[str, ...] = ()
    """Patterns of files that come out, from the root and without its slash."""
    collect_limit: int = 64
    """MiB of all that they name together."""


def _of_ready(ready: Ready) -> list[tuple[str, str]]:
    parts = [("ready", str(int(signal.Signals[f"SIG{ready.signal}"])))]
    if ready.file:
        parts.append(("ready file", ready.file))
    elif not ready.stream:
        parts.append(("ready notify", "yes"))
    return [*parts, *([("while ready", ready.meanwhile)] if ready.meanwhile else [])]


def _of_collect(patterns: Sequence[str], mib: int) -> list[tuple[str, str]]:
    limit = [("collect-limit", str(mib << 20))] if patterns else []
    return [*(("collect", pattern) for pattern in patterns), *limit]


def of_check(check: Check, payload: Payload) -> list[tuple[str, str]]:
    """Return the job of a check."""
    parts = [("command", check.command)]
    parts += [("env", f"{name}={value}") for name, value in {**ENVIRONMENT, **dict(check.env)}.items()]
    if check.limits == "distribution":
        parts.append(("limits", "distribution"))
    parts += _of_ready(check.ready) if check.ready else []
    parts += _of_collect(check.collect, check.collect_limit)
    parts += [("module", name) for name in check.guest_modules]
    if not payload.empty:
        parts.append(("payload", "yes"))
    return parts + [
        (name, file.path) for name, file in (("binary", payload.binary), ("artifact", payload.artifact)) if file
    ]


def of_program(program: Program) -> list[tuple[str, str]]:
    """Return the job of a program; the payload has the rest of it."""
    return [("payload", "yes"), ("more", "yes"), *_of_collect(program.collect, program.collect_limit)]


def rest_of_program(program: Program) -> bytes:
    """Return the rest of a program's job, as it stands in the file `job` of the payload; its streams go out as they come."""
    parts = [("program", program.path), ("directory", program.directory), ("live", "yes")]
    parts += [("argument", text) for text in program.arguments]
    parts += [("env", f"{name}={value}") for name, value in program.environment]
    for path in program.shares:
        parts += [("share", path), *([("copied", "yes")] if path in program.copied else [])]
    parts += [("folder", path) for path in program.folders]
    return _joined([*parts, *([("input", "yes")] if program.input else [])])


def of_shell(check: Check, payload: Payload, rows: int, columns: int) -> list[tuple[str, str]]:
    """Return the job of a shell where a check's command would run, on a terminal."""
    return [*of_check(check, payload), ("live", "yes"), ("terminal", f"{rows} {columns}")]


def blob(parts: Parts) -> bytes:
    """Return a job as it goes over the wire, with what a restored guest needs of this moment: NUL-terminated names and values."""
    now = time.time_ns()
    fresh = [("time", f"{now // 10**9}.{now % 10**9:09}"), ("seed", os.urandom(64).hex())]
    return _joined([*parts, *fresh])


def _joined(parts: Parts) -> bytes:
    return b"".join(text.encode(errors="surrogateescape") + b"\0" for part in parts for text in part)

"""Why a job would run, or would not: what changed against its last record, in words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bpfcompat.dataclass import dataclass
from bpfcompat.model import Check, Job
from bpfcompat.outcome import Record
from bpfcompat.records import manifests
from bpfcompat.system import digest
from bpfcompat.workflow import jobs
from bpfcompat.workflow.session import Session

Files = Mapping[str, tuple[int, str]]
"""What a payload holds: name -> mode, and SHA-256 or a link's target."""

_INSIDE = {
    "key format": "the way in which this version of bpfcompat tells verdicts apart",
    "protocol": "the protocol that this version of bpfcompat speaks with the guest",
    "rootfs": "guest.rootfs",
    "kit": "the kit that every guest is made of: init, bash, busybox and the tools",
    "guest layout": "the way in which this version of bpfcompat puts a guest together",
}


_KINDS = {
    "bin": "binary",
    "artifact": "artifact",
    "files": "file",
    "root": "library",
    "over": "library",
    "validator": "bpfcompat's",
}


@dataclass(frozen=True)
class Explanation:
    """A sentence on what the next run does with a job, and the reasons."""

    headline: str
    reasons: tuple[str, ...] = ()


def explain(session: Session, job: Job) -> Explanation:
    """Tell whether a job would run now, and why; nothing is built, fetched or run. Raises BpfcompatError for bad inputs."""
    stored, last = session.cached(job), session.newest.last(job.name)
    if stored:
        # The newest record is this one, unless the inputs have come back to what they once were.
        other = session.newest.before(job.name) if last and last.key == stored.key else last
        source = f", imported from {stored.imported_from}" if stored.imported_from else ""
        headline = f"would not run: {stored.verdict.status.value} is stored for exactly these inputs{source}"
        reasons = _changes(session, job, other, stored.key_parts) if other and other.key_parts else ()
        return Explanation(f"{headline}; those before differed in" if reasons else headline, reasons)
    if session.machines.kernels.get(job.profile) is None:
        return Explanation("would run: its kernel is not in the store yet", (job.profile.kernel,))
    parts = session.key_parts(job)
    if parts is None:
        return Explanation("would run: its guest is not built yet")
    refused = session.store.get(jobs.key(parts))
    if refused:
        return Explanation(
            f"would run: its verdict was imported from {refused.imported_from}, and is not trusted here",
            ("trust_imported: false",),
        )
    return _explain_run(session, job, last, parts)


def _explain_run(session: Session, job: Job, last: Record | None, parts: dict[str, Any]) -> Explanation:
    if last is None:
        return Explanation("would run: nothing is known about it")
    if not last.key_parts:
        return Explanation(f"would run: it came to {_class(last)} before its inputs were known", (last.verdict.reason,))
    if last.key != jobs.key(parts):
        return Explanation("would run: its inputs have changed", _changes(session, job, last, parts))
    return Explanation(f"would run: {_class(last)} is never stored", (last.verdict.reason,))


def _class(record: Record) -> str:
    return record.verdict.classification.value if record.verdict.classification else record.verdict.status.value


def _changes(session: Session, job: Job, before: Record, now: dict[str, Any]) -> tuple[str, ...]:
    files = {name: (mode, content) for name, mode, content in session.payloads.of(job.check).contents}
    if session.project.redact:
        before, now = (replace(before, key_parts=_redacted(before.key_parts)), _redacted(now))
    return tuple(
        changes(
            before.key_parts,
            now,
            manifests.read(session.project.workdir, before.key_parts["payload"]),
            files,
            job.check,
        )
    )


def _redacted(parts: dict[str, Any]) -> dict[str, Any]:
    hidden = {"command": digest.of_bytes(parts["command"].encode(errors="surrogateescape"))}
    return {**parts, **hidden, "validation": digest.of_json(parts["validation"]) if parts.get("validation") else None}


def changes(
    was: dict[str, Any], now: dict[str, Any], old_files: Files | None, new_files: Files, check: Check
) -> Iterator[str]:
    """Yield a phrase for each part of a key that differs.

    was, now: the parts.
    old_files, new_files: what the payloads held and hold; None if that is not known any more.
    """
    for part in [*now, *(part for part in was if part not in now)]:
        old, new = was.get(part), now.get(part)
        if old == new:
            continue
        if part == "payload" and old_files is not None:
            yield from _changed_files(old_files, new_files, check)
        elif isinstance(old, dict) and isinstance(new, dict):
            for key in sorted({*old, *new}):
                if old.get(key) != new.get(key):
                    yield f"{part} {key}: {_shown(old.get(key))} -> {_shown(new.get(key))}"
        else:
            yield f"{_INSIDE.get(part, part)}: {_shown(old)} -> {_shown(new)}"


def _changed_files(old: Files, new: Files, check: Check) -> Iterator[str]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if before and after and before[1] == after[1]:
            yield f"{_named(name, check)}: mode {before[0] & 0o777:o} -> {after[0] & 0o777:o}"
        else:
            yield f"{_named(name, check)}: {_shown(before and before[1])} -> {_shown(after and after[1])}"


def _named(name: str, check: Check) -> str:
    """Return a file of the payload as the user knows it."""
    kind, _, rest = name.partition("/")
    for path, key in ((check.binary, "bin"), (check.artifact, "artifact")):
        if path and kind == key and path.name == rest:
            rest = os.path.relpath(path)
    return f"{_KINDS[kind]} {rest}"


def _shown(value: object) -> str:
    """Return a value as it fits a line: digests by their beginning."""
    if value is None:
        return "none"
    text = str(value)
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return f"{text[:12]}..."
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 100 else f"{one_line[:97]}..."

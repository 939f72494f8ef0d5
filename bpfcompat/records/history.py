"""The runs of a work directory: one line each, every line bound to the one before it by a hash, and their reports kept."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic, digest

REPORTS_KEPT = 500
_LINE_BYTES_AT_MOST = 1 << 20
_RUNS_ASKED = 20
"""How many of the newest runs are asked for durations."""
_FIRST = ""
"""What stands for the hash of the line before the first."""

Entry = dict[str, Any]
"""A line of runs.jsonl."""


@dataclass(frozen=True)
class Verification:
    """What was found out about a history."""

    entries: int
    problems: tuple[str, ...]
    """Sentences; none if every line and every kept report is as it was written."""


def path(workdir: Path) -> Path:
    """Return where the runs of a work directory are listed."""
    return workdir / "registry" / "runs.jsonl"


def append(workdir: Path, report: dict[str, Any], text: str) -> None:
    """Add a run to the history of a work directory, under a lock, and keep its report; one that is there is not added again.

    text: the report as it was written.
    Raises BpfcompatError if the last line is damaged: a chain is not continued over a break. Raises OSError.
    """
    file = path(workdir)
    kept = gzip.compress(text.encode(errors="replace"), 1, mtime=0)
    with atomic.locked(file.with_name("lock")):
        last = _last(file)
        if last and last["run_id"] == report["run"]["id"]:
            return
        name = f"reports/{report['run']['id']}.json.gz"
        entry = _sealed(_described(report, name, digest.of_bytes(kept)), last["record_sha256"] if last else _FIRST)
        atomic.write(file.parent / name, kept)
        _add_line(file, json.dumps(entry, ensure_ascii=False).encode(errors="replace") + b"\n")
        _drop_old_reports(file)


def _described(report: dict[str, Any], name: str, sha256: str) -> Entry:
    source = report["artifact"].get("source", {})
    codes = Counter(target["classification_code"] for target in report["targets"] if "classification_code" in target)
    return {
        "run_id": report["run"]["id"],
        "name": source.get("name") or report["artifact"]["basename"],
        "version": source.get("version") or report["run"]["id"],
        "started_at": report["run"]["started_at"],
        "finished_at": report["run"]["finished_at"],
        "artifact_sha256": report["artifact"]["sha256"],
        "invocation_sha256": report.get("command", {}).get("invocation_sha256", ""),
        "matrix": report["matrix"].get("name") or report["matrix"]["path"],
        "status": report["summary"]["status"],
        "counts": report["summary"]["counts"],
        "classification_codes": dict(sorted(codes.items())),
        "report": name,
        "report_sha256": sha256,
    }


def _sealed(entry: Entry, before: str) -> Entry:
    sealed = {**entry, "prev_record_sha256": before}
    return {**sealed, "record_sha256": digest.of_json(sealed)}


def _add_line(file: Path, line: bytes) -> None:
    """Append a line wholly or not at all."""
    with file.open("ab", buffering=0) as log:
        end = log.tell()
        if log.write(line) != len(line):  # a disk that fills up takes a part of it first
            os.ftruncate(log.fileno(), end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))


def _last(file: Path) -> Entry | None:
    """Return the last line; a part of one, left by a run that was killed while it wrote, is dropped."""
    try:
        with file.open("r+b") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _LINE_BYTES_AT_MOST))
            whole, _, torn = log.read().rpartition(b"\n")
            if torn:
                os.ftruncate(log.fileno(), size - len(torn))
    except FileNotFoundError:
        return None
    if not whole:
        return None
    entry = _parsed(whole.rpartition(b"\n")[2])
    if entry is None:
        raise BpfcompatError(f"the last line of {file} is damaged.", f"mv {file} {file}.damaged")
    return entry


def _parsed(line: bytes) -> Entry | None:
    """Return a line that is what was written, else None."""
    try:
        entry = json.loads(line)
        sealed = {key: value for key, value in entry.items() if key != "record_sha256"}
        whole = (
            entry["record_sha256"] == digest.of_json(sealed) and line == json.dumps(entry, ensure_ascii=False).encode()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return entry if whole else None


def _drop_old_reports(file: Path) -> None:
    reports = sorted(file.with_name("reports").glob("*.json.gz"))  # run ids begin with the time
    for old in reports[:-REPORTS_KEPT]:
        old.unlink(missing_ok=True)


def entries(workdir: Path) -> list[Entry]:
    """Return the runs that can be read, oldest first; raises BpfcompatError if there is no history."""
    return [entry for entry in (_parsed(line) for line in _lines(workdir)) if entry]


def _lines(workdir: Path) -> list[bytes]:
    try:
        return path(workdir).read_bytes().removesuffix(b"\n").split(b"\n")
    except FileNotFoundError:
        raise BpfcompatError(
            f"there is no history in {workdir}.", "run something first, or name another with --workdir"
        ) from None
    except OSError as error:
        raise BpfcompatError(f"{path(workdir)} cannot be read: {error.strerror}.") from error


def verify(workdir: Path) -> Verification:
    """Check every line, the chain of them, and every report that is kept; raises BpfcompatError if there is no history."""
    problems: list[str] = []
    before: str | None = _FIRST
    lines = _lines(workdir)
    kept = sorted(file.name for file in path(workdir).with_name("reports").glob("*.json.gz"))
    for number, line in enumerate(lines, 1):
        entry = _parsed(line)
        if entry is None:
            problems.append(f"line {number} is not what was written.")
            before = None  # what follows cannot be compared with it
            continue
        if before is not None and entry["prev_record_sha256"] != before:
            problems.append(f"line {number} does not follow the one before it: lines were removed, added or moved.")
        before = entry["record_sha256"]
        dropped = len(kept) >= REPORTS_KEPT and Path(entry["report"]).name < kept[0]
        if not dropped and (problem := _report_problem(workdir, entry)):
            problems.append(f"line {number}: {problem}")
    return Verification(len(lines), tuple(problems))


def _report_problem(workdir: Path, entry: Entry) -> str:
    try:
        found = digest.of_file(path(workdir).parent / entry["report"])
    except OSError:
        return f"the report of {entry['run_id']} is not there any more."
    return "" if found == entry["report_sha256"] else f"the report of {entry['run_id']} is not what was written."


def seconds(workdir: Path) -> dict[str, float]:
    """Return how long each profile took in the newest run that had it, all its checks together; empty without a history.

    Runs of a shard do not count: they differ from machine to machine, and shards have to agree on how they divide a matrix.
    """
    found: dict[str, float] = {}
    with contextlib.suppress(BpfcompatError):
        for entry in reversed(entries(workdir)[-_RUNS_ASKED:]):
            with contextlib.suppress(BpfcompatError, OSError, EOFError, ValueError):  # one that is gone or damaged
                kept = report(workdir, entry)
                found |= {} if "shard" in kept else {**_by_profile(kept), **found}
    return found


def _by_profile(report: dict[str, Any]) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for target in report["targets"]:
        spent[target["profile_id"]] += target["duration_ms"]
    return {name: milliseconds / 1000 for name, milliseconds in spent.items()}


def report(workdir: Path, entry: Entry) -> dict[str, Any]:
    """Return the report that was kept of a run; raises BpfcompatError if it is gone or not what was written."""
    if problem := _report_problem(workdir, entry):
        raise BpfcompatError(problem, f"the last {REPORTS_KEPT} are kept; see `bpfcompat history verify`")
    value: dict[str, Any] = json.loads(gzip.decompress((path(workdir).parent / entry["report"]).read_bytes()))
    return value


def find(workdir: Path, name: str | None, version: str) -> Entry:
    """Return the newest run of a version, which is a run id where none was given; raises BpfcompatError.

    name: of the artifact; None means any.
    """
    known = [entry for entry in entries(workdir) if name in {None, entry["name"]}]
    for entry in reversed(known):
        if version in {entry["version"], entry["run_id"]}:
            return entry
    what = f"version {version} of {name}" if name else f"run {version}"
    raise BpfcompatError(f"{what} is not in the history of {workdir}.", "`bpfcompat history list` shows what is")

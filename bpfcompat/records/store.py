"""The verdict store: one JSON file a key, written the moment a verdict is known, with its evidence beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Classification, Observed, Outcome, OutcomeKind, Payload, Record, Status, Stream, Verdict
from bpfcompat.system import atomic

_FORMAT = "1"
_KEPT = "kept"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What comes of reading a file that is gone, torn or foreign."""


class VerdictStore:
    """Verdicts by content key, below a work directory."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir

    def prepare(self) -> None:
        """Make the work directory, invisible to git and to backups; raises BpfcompatError if it is not ours to write."""
        marks = {
            ".gitignore": "*\n",
            "CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n# This is a cache folder of bpfcompat.\n",
            "format": f"{_FORMAT}\n",
        }
        try:
            if (self.workdir / "format").exists():
                found = (self.workdir / "format").read_text().strip()
                if found != _FORMAT:
                    raise BpfcompatError(
                        f"{self.workdir} has format {found}; this version writes {_FORMAT}.", f"rm -r {self.workdir}"
                    )
                return
            for name, text in marks.items():
                atomic.write(self.workdir / name, text.encode())
        except OSError as error:
            raise BpfcompatError(
                f"{self.workdir} cannot be written: {error.strerror}.", "choose another with --workdir"
            ) from error

    def path(self, key: str) -> Path:
        """Return where the record of a key is kept."""
        return self.workdir / "verdicts" / key[:2] / f"{key}.json"

    def get(self, key: str) -> Record | None:
        """Return the stored record of a key, or None; a torn or foreign file counts as none."""
        return self._load(self.path(key), key)

    def put(self, record: Record) -> None:
        """Store a record under its key; evidence of earlier runs of that key is dropped."""
        atomic.write_json(self.path(record.key), _plain(record))
        self._keep_evidence(record.key, record.run_id)

    def records(self) -> Iterator[Record]:
        """Yield every stored verdict."""
        for path in sorted((self.workdir / "verdicts").glob("*/*.json")):
            if record := self.get(path.stem):
                yield record

    def forget(self, key: str) -> None:
        """Drop a verdict and its evidence."""
        self.path(key).unlink(missing_ok=True)
        shutil.rmtree(self._evidence_folder(key), ignore_errors=True)

    def lock(self, key: str) -> AbstractContextManager[None]:
        """Hold a key while it is being worked on, so that two runs at once do the work once."""
        return atomic.locked(self.workdir / "locks" / key)

    def evidence(self, key: str, run_id: str) -> Path:
        """Return a new folder for the evidence of a key."""
        folder = self._evidence_folder(key) / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _evidence_folder(self, key: str) -> Path:
        return self.workdir / "evidence" / key[:16]  # short enough to be read and typed

    def _keep_evidence(self, key: str, run_id: str) -> None:
        for folder in self._evidence_folder(key).iterdir():
            if folder.name != run_id:
                shutil.rmtree(folder, ignore_errors=True)

    def last(self, job: str) -> Record | None:
        """Return what the newest run found out about a job, verdict or not."""
        return self._of(job, self._last_path(job))

    def before(self, job: str) -> Record | None:
        """Return what was found out about a job before that, with other inputs or another outcome."""
        return self._of(job, self._last_path(job).with_suffix(".before"))

    def jobs(self) -> list[str]:
        """Return the names of all jobs that were ever run here."""
        return sorted(path.stem.replace("@", "/") for path in (self.workdir / "last").glob("*.json"))

    def remember(self, record: Record, stored: bool) -> None:
        """Keep a record as its job's newest.

        stored: it is in the store under its key, so that its key is enough.
        """
        path = self._last_path(record.job)
        text = atomic.json_text({"key": record.key} if stored else _plain(record)).encode(errors="replace")
        if _content(path) == text:
            return
        mark = self.workdir / "failed" / path.stem
        if record.verdict.status is Status.PASS:
            mark.unlink(missing_ok=True)
        else:
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
        before = self.last(record.job)
        if before:
            path.replace(path.with_suffix(".before"))
        atomic.write(path, text)
        if before and before.evidence and before.evidence != record.evidence and not self._is_stored(before):
            shutil.rmtree(self.workdir / before.evidence, ignore_errors=True)

    def _of(self, job: str, path: Path) -> Record | None:
        try:
            value = json.loads(path.read_bytes())
            record = self.get(value["key"]) if set(value) == {"key"} else _record(value)
        except _UNREADABLE:
            return None
        return replace(record, job=job) if record else None

    def keep_manifest(self, payload: Payload) -> None:
        """Keep what a payload holds, by name, so that what changed can be told by name."""
        path = self._manifest_path(payload.digest)
        if not path.exists():
            atomic.write_json(path, payload.contents)

    def manifest(self, payload: str) -> dict[str, tuple[int, str]] | None:
        """Return the files of a payload by its digest: name -> mode, and SHA-256 or a link's target; None if not kept."""
        try:
            listed = json.loads(self._manifest_path(payload).read_bytes())
            return {name: (mode, content) for name, mode, content in listed}
        except _UNREADABLE:
            return None

    def _manifest_path(self, payload: str) -> Path:
        return self.workdir / "payloads" / f"{payload}.json"

    def failed(self) -> set[str]:
        """Return the names of the jobs that did not pass when they were run last."""
        try:
            return {path.name.replace("@", "/") for path in (self.workdir / "failed").iterdir()}
        except OSError:
            return set()

    def _is_stored(self, record: Record) -> bool:
        stored = self.get(record.key) if record.key else None
        return stored is not None and stored.evidence == record.evidence

    def _last_path(self, job: str) -> Path:
        return self.workdir / "last" / f"{job.replace('/', '@')}.json"

    def _load(self, path: Path, key: str) -> Record | None:
        try:
            value = json.loads(path.read_bytes())
            record = _record(value)
        except _UNREADABLE:
            return None
        return record if record.key == key else None

    @contextlib.contextmanager
    def scratch(self, run_id: str, keep: bool = False) -> Iterator[Path]:
        """Yield a folder for one run's temporary files, and drop those of runs that were killed.

        keep: leave it where it is, for a person to look at, and to remove.
        """
        base = self.workdir / "tmp"
        base.mkdir(parents=True, exist_ok=True)
        # A run that was killed just before its folder was made, or just after it was removed, leaves its lock alone.
        for left in {path.name.removesuffix(".lock") for path in base.iterdir()}:
            if not atomic.is_locked(base / f"{left}.lock") and not (base / left / _KEPT).exists():
                shutil.rmtree(base / left, ignore_errors=True)
        folder = base / run_id
        with atomic.locked(base / f"{run_id}.lock"):
            folder.mkdir()
            try:
                yield folder
            finally:
                if keep:
                    (folder / _KEPT).touch()
                else:
                    shutil.rmtree(folder, ignore_errors=True)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _plain(record: Record) -> dict[str, Any]:
    value = dataclasses.asdict(record)
    del value["cached"]
    return value


def _record(value: dict[str, Any]) -> Record:
    verdict, outcome = value["verdict"], value["outcome"]
    observed = outcome["observed"]
    return Record(
        **{
            **value,
            "verdict": Verdict(
                **{**verdict, "status": Status(verdict["status"]), "classification": _classification(verdict)}
            ),
            "outcome": Outcome(
                **{
                    **outcome,
                    "kind": OutcomeKind(outcome["kind"]),
                    "classification": _classification(outcome),
                    "observed": Observed(**observed) if observed else None,
                    "stdout": Stream(**outcome["stdout"]),
                    "stderr": Stream(**outcome["stderr"]),
                    "mismatches": tuple(outcome["mismatches"]),
                    "notes": tuple(outcome["notes"]),
                }
            ),
        }
    )


def _classification(value: dict[str, Any]) -> Classification | None:
    return Classification(value["classification"]) if value["classification"] else None

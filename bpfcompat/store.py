"""The verdict store: one JSON file a key, written the moment a verdict is known, with its evidence beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bpfcompat import atomic
from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Classification, Observed, Outcome, OutcomeKind, Record, Status, Stream, Verdict

_FORMAT = "1"


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
        return self._load(self._last_path(job), None)

    def remember(self, record: Record) -> None:
        """Keep a record as its job's newest."""
        before = self.last(record.job)
        mark = self.workdir / "failed" / record.job.replace("/", "@")
        if record.verdict.status is Status.PASS:
            mark.unlink(missing_ok=True)
        else:
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
        atomic.write_json(self._last_path(record.job), _plain(record))
        if before and before.evidence and before.evidence != record.evidence and not self._is_stored(before):
            shutil.rmtree(self.workdir / before.evidence, ignore_errors=True)

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

    def _load(self, path: Path, key: str | None) -> Record | None:
        try:
            value = json.loads(path.read_bytes())
            record = _record(value)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return record if key is None or record.key == key else None

    @contextlib.contextmanager
    def scratch(self, run_id: str) -> Iterator[Path]:
        """Yield a folder for one run's temporary files, and drop those of runs that were killed."""
        base = self.workdir / "tmp"
        base.mkdir(parents=True, exist_ok=True)
        for left in base.iterdir():
            if left.is_dir() and not atomic.is_locked(base / f"{left.name}.lock"):
                shutil.rmtree(left, ignore_errors=True)
        folder = base / run_id
        with atomic.locked(base / f"{run_id}.lock"):
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)


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

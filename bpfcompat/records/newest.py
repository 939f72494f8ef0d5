"""What the newest run found out about each job, and what was found out before that."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from bpfcompat.outcome import Record, Status
from bpfcompat.records import form
from bpfcompat.records.store import VerdictStore
from bpfcompat.system import atomic


class Newest:
    """The newest record of each job, verdict or not, below a work directory."""

    def __init__(self, store: VerdictStore) -> None:
        """Nothing is read yet; what has a verdict is looked up in the store."""
        self._store = store
        self._workdir = store.workdir

    def last(self, job: str) -> Record | None:
        """Return what the newest run found out about a job, verdict or not."""
        return self._of(job, self._last_path(job))

    def before(self, job: str) -> Record | None:
        """Return what was found out about a job before that, with other inputs or another outcome."""
        return self._of(job, self._last_path(job).with_suffix(".before"))

    def jobs(self) -> list[str]:
        """Return the names of all jobs that were ever run here."""
        return sorted(path.stem.replace("@", "/") for path in (self._workdir / "last").glob("*.json"))

    def remember(self, record: Record, stored: bool) -> None:
        """Keep a record as its job's newest.

        stored: it is in the store under its key, so that its key is enough.
        """
        path = self._last_path(record.job)
        text = atomic.json_text({"key": record.key} if stored else form.plain(record)).encode(errors="replace")
        if _content(path) == text:
            return
        mark = self._workdir / "failed" / path.stem
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
            shutil.rmtree(self._workdir / before.evidence, ignore_errors=True)

    def _of(self, job: str, path: Path) -> Record | None:
        try:
            value = json.loads(path.read_bytes())
            record = self._store.get(value["key"]) if set(value) == {"key"} else form.record(value)
        except form.UNREADABLE:
            return None
        return replace(record, job=job) if record else None

    def failed(self) -> set[str]:
        """Return the names of the jobs that did not pass when they were run last."""
        try:
            return {path.name.replace("@", "/") for path in (self._workdir / "failed").iterdir()}
        except OSError:
            return set()

    def _is_stored(self, record: Record) -> bool:
        stored = self._store.get(record.key) if record.key else None
        return stored is not None and stored.evidence == record.evidence

    def _last_path(self, job: str) -> Path:
        return self._workdir / "last" / f"{job.replace('/', '@')}.json"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None

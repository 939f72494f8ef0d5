"""What is known of the jobs of one run: records that were stored before, and those that it made."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bpfcompat import verdict
from bpfcompat.model import Job
from bpfcompat.outcome import Record, Status
from bpfcompat.records import Newest, VerdictStore, collected
from bpfcompat.system import processes
from bpfcompat.workflow import jobs


class Known:
    """The records of one run. Methods are called from several threads, each job's by one at a time."""

    def __init__(
        self, store: VerdictStore, newest: Newest, bring: Callable[[str], None], *, trust_imported: bool
    ) -> None:
        """Nothing is read yet.

        bring: called with a key of which nothing is stored, to bring its verdict if others have found it out.
        trust_imported: verdicts that were found out in other work directories count.
        """
        self._store = store
        self._newest = newest
        self._bring = bring
        self._trust_imported = trust_imported
        self._stored: dict[tuple[str, str], Record] = {}
        """By the job's name and its payload's digest: they are asked for by several tasks."""
        self._kept: dict[str, Record] = {}
        self._lock = threading.Lock()

    def stored(self, job: Job, payload: str, parts: Callable[[], dict[str, Any] | None]) -> Record | None:
        """Return the stored record of exactly a job's inputs.

        payload: its digest.
        parts: tells what shapes the verdict, if that is known by now; asked only for what was not looked up before.
        """
        if (job.name, payload) not in self._stored:
            now = parts()
            record = self._found(jobs.key(now)) if now else None
            if record is None or (record.imported_from and not self._trust_imported):
                return None
            if not collected.are_there(self._store.workdir, record):
                return None
            self._stored[job.name, payload] = replace(record, job=job.name, cached=True)
        return self._stored[job.name, payload]

    def _found(self, key: str) -> Record | None:
        found = self._store.get(key)
        if found is None and self._trust_imported:
            self._bring(key)
            found = self._store.get(key)
        return found

    def hold(self, job: Job, record: Record) -> None:
        """Keep a job's record for the end of the run."""
        with self._lock:
            self._kept[job.name] = record

    def keep(self, job: Job, record: Record) -> None:
        """Keep a job's record, for the end of the run and as the job's newest; raises OSError."""
        if processes.interrupted() and not record.cached and record.verdict.status is Status.INFRA_ERROR:
            return  # told as interrupted at the end
        self.hold(job, record)
        # Of a stored verdict there is nothing to be lost: a work directory that cannot be written serves it all the same.
        with contextlib.suppress(OSError) if record.cached else contextlib.nullcontext():
            self._newest.remember(record, stored=verdict.is_certain(record.verdict))

    def of(self, job: Job) -> Record | None:
        """Return what was kept of a job."""
        return self._kept.get(job.name)

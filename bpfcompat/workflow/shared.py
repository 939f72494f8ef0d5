"""A verdict store that several machines share: what they found out is read, and what is found out here is given to it.

An object holds one verdict with its logs, as `bpfcompat cache export` writes it, and is believed as far as an import is.
Its name is the key and the status, so two writers who come to different verdicts overwrite nothing, and each sees the
other's: both write before they look.
"""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bpfcompat.errors import BpfcompatError
from bpfcompat.outcome import Record, Status
from bpfcompat.records import VerdictStore, shared
from bpfcompat.workflow import transfer

_STATUSES = (Status.PASS, Status.FAIL)
_AT_ONCE = 16


class SharedVerdicts:
    """The shared verdicts of one run. Methods are called from several threads."""

    def __init__(self, url: str, store: VerdictStore, notice: Callable[[str], None]) -> None:
        """Nothing is read yet.

        url: of the place; store: where verdicts that are brought go.
        notice: called with a line that the user should see at once.
        Raises BpfcompatError for a place that cannot be opened here.
        """
        self._place = shared.SharedPlace(url)
        self._store = store
        self._notice = notice
        self._asked: set[str] = set()
        self._disagreements: dict[str, str] = {}
        self._gone = False
        self._takes_none = False
        self._lock = threading.Lock()

    def bring(self, keys: Iterable[str]) -> None:
        """Bring the verdicts of keys into the store, as far as they are known there; each is asked for once a run.

        Never raises: without the place a run has what it finds out itself.
        """
        with self._lock:
            wanted = [key for key in dict.fromkeys(keys) if key not in self._asked]
            self._asked.update(wanted)
        if len(wanted) > 1:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(self._bring, wanted))
        elif wanted:
            self._bring(wanted[0])

    def _bring(self, key: str) -> None:
        if self._gone or self._store.get(key):
            return
        try:
            found = [data for status in _STATUSES if (data := self._place.get(_name(key, status))) is not None]
            if len(found) > 1:
                self._disagree(
                    key, f"DISAGREEMENT: {self._place.url} holds both a pass and a fail for exactly these inputs."
                )
            elif found:
                transfer.take_one(self._store, io.BytesIO(found[0]), key)
        except shared.Unreachable as error:
            self._lose(f"{self._place.url} cannot be reached, so this run has local verdicts only: {error}")
        except (BpfcompatError, OSError) as error:
            self._notice(f"a verdict in {self._place.url} is not used: {error}")

    def give(self, record: Record) -> Record:
        """Write a verdict that was found out here; return its record, with a note if others came to another verdict."""
        if not self._gone and not self._takes_none:
            try:
                self._give(record)
            except shared.Unreachable as error:
                self._takes_none = True
                self._notice(f"{self._place.url} takes no verdicts, so this run's stay here: {error}")
        note = self._disagreements.get(record.key)
        return replace(record, outcome=replace(record.outcome, notes=(*record.outcome.notes, note))) if note else record

    def _give(self, record: Record) -> None:
        mine = _name(record.key, record.verdict.status)
        there = self._place.get(mine)
        said = transfer.read_one(there, record.key) if there else None
        if said is None:  # nothing, or what nobody can use
            self._place.put(mine, transfer.packed(self._store, [record], socket.gethostname()))
        elif said.verdict.classification is not record.verdict.classification:
            self._differs(record, said)
        for status in _STATUSES:
            other = self._place.get(_name(record.key, status)) if status is not record.verdict.status else None
            if other and (theirs := transfer.read_one(other, record.key)):
                self._differs(record, theirs)

    def _differs(self, record: Record, theirs: Record) -> None:
        ours, what = (" ".join(filter(None, (one.verdict.status.value, one.verdict.classification)))
                      for one in (record, theirs))  # fmt: skip
        whose = theirs.imported_from or "somebody"
        self._disagree(record.key, f"DISAGREEMENT: {record.job} came to {ours} here, and to {what} at {whose}"
                       f" ({theirs.finished_at}) with exactly the same inputs; see {self._place.url}.")  # fmt: skip

    def _disagree(self, key: str, sentence: str) -> None:
        self._disagreements[key] = sentence
        self._notice(sentence)

    def _lose(self, sentence: str) -> None:
        with self._lock:
            told, self._gone = self._gone, True
        if not told:
            self._notice(sentence)


def _name(key: str, status: Status) -> str:
    return f"v1/{key[:2]}/{key}/{status.value}.tar.gz"

"""The verdict store: one JSON file a key, written the moment a verdict is known, with its evidence beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.outcome import Record
from bpfcompat.records import form
from bpfcompat.system import atomic

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
        atomic.write_json(self.path(record.key), form.plain(record))
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

    def _load(self, path: Path, key: str) -> Record | None:
        try:
            value = json.loads(path.read_bytes())
            record = form.record(value)
        except form.UNREADABLE:
            return None
        return record if record.key == key else None

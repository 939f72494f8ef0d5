"""Verdicts to go: the stored records of one work directory, with their logs, as a file for another.

What comes in is believed as far as it can be checked: that a record's key is that of its inputs, and that its verdict is
what its outcome means. That the outcome was ever seen is the sender's word, so such a record says whose it is.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from bpfcompat import verdict
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Expectation
from bpfcompat.outcome import COLLECTED, Record, Verdict
from bpfcompat.project import manifest
from bpfcompat.records import VerdictStore, collected
from bpfcompat.system import atomic, destination, digest
from bpfcompat.workflow import jobs

_ABOUT = "bpfcompat-verdicts.json"
_FORMAT = 1
_VERDICT = re.compile(r"verdicts/([0-9a-f]{64})\.json")
_LOG = re.compile(r"evidence/[0-9a-f]{16}/[A-Za-z0-9-]{1,64}/(?:[a-z0-9-]{1,32}/)?[a-z]{1,16}\.log")
_COLLECTED = re.compile(rf"evidence/[0-9a-f]{{16}}/[A-Za-z0-9-]{{1,64}}/{COLLECTED}/(.+)", re.DOTALL)
_MEMBER_BYTES_AT_MOST = 1 << 30
_BYTES_AT_MOST = 4 << 30
_PADDING_AT_MOST = 1 << 20
_DAMAGED = (
    gzip.BadGzipFile, tarfile.TarError, zlib.error, EOFError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
)  # fmt: skip
"""What comes of reading a file that is not what was exported."""


@dataclass(frozen=True)
class Imported:
    """What became of a file's records."""

    taken: int
    known: int
    """Found out here already, which counts for more."""
    sender: str


def export(store: VerdictStore, target: Path, sender: str) -> int:
    """Write all stored verdicts and their logs to a file; return how many. Raises OSError.

    sender: whose they are, for those that were found out here.
    """
    records = [record for record in store.records() if collected.are_there(store.workdir, record)]
    with destination.written(target) as file:
        _write(file, store, records, sender)
    return len(records)


def packed(store: VerdictStore, records: list[Record], sender: str) -> bytes:
    """Return stored verdicts and their logs as such a file; raises OSError."""
    file = io.BytesIO()
    _write(file, store, records, sender)
    return file.getvalue()


def _write(file: IO[bytes], store: VerdictStore, records: list[Record], sender: str) -> None:
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        about = {"format": _FORMAT, "sender": sender, "verdicts": len(records)}
        _add(archive, _ABOUT, json.dumps(about).encode())
        for record in records:
            _add(archive, f"verdicts/{record.key}.json", store.path(record.key).read_bytes())
            for log in sorted((store.workdir / _place(record)).rglob("*.log")):
                _add(archive, str(log.relative_to(store.workdir)), log.read_bytes())
            for one in record.outcome.collected:
                name = f"{_place(record)}/{COLLECTED}/{one.path}"
                _add(archive, name, (store.workdir / name).read_bytes())


def _place(record: Record) -> str:
    """Return where a record's logs stand, below its work directory."""
    return f"evidence/{record.key[:16]}/{record.run_id}"


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def take(store: VerdictStore, source: Path) -> Imported:
    """Take the verdicts of a file into a store, all of them or none.

    Raises BpfcompatError for a file that is damaged, or holds anything but verdicts and their logs.
    """
    store.prepare()
    try:
        with source.open("rb") as file, tempfile.TemporaryDirectory(dir=store.workdir, prefix=".import.") as name:
            return _take(store, file, Path(name))
    except BpfcompatError as error:
        raise BpfcompatError(f"{source}: {error.message}", "nothing was imported; export it again") from error
    except _DAMAGED as error:
        raise BpfcompatError(f"{source} is not a file of `bpfcompat cache export`, or is damaged: {error}.") from error
    except OSError as error:
        raise BpfcompatError(f"{source} cannot be imported: {error.strerror or error}.") from error


def take_one(store: VerdictStore, file: IO[bytes], key: str) -> None:
    """Take the one verdict of a file into a store; raises BpfcompatError for anything but the verdict of that key, OSError."""
    store.prepare()
    with tempfile.TemporaryDirectory(dir=store.workdir, prefix=".import.") as name:
        for record, sender in _only(Path(name), file, key):
            _put(store, record, Path(name), sender)


def read_one(data: bytes, key: str) -> Record | None:
    """Return the record in a file of one verdict, named whose it is; None unless it is one of that key, and whole."""
    with tempfile.TemporaryDirectory(prefix="bpfcompat-") as name, contextlib.suppress(BpfcompatError):
        for record, sender in _only(Path(name), io.BytesIO(data), key):
            return replace(record, imported_from=record.imported_from or sender)
    return None


def _only(folder: Path, file: IO[bytes], key: str) -> Iterator[tuple[Record, str]]:
    try:
        records, sender = _received(file, folder)
    except _DAMAGED as error:
        raise BpfcompatError(f"it is damaged: {error}.") from error
    if [record.key for record in records] != [key]:
        raise BpfcompatError("it is the verdict of other inputs.")
    yield records[0], sender


def _take(store: VerdictStore, file: IO[bytes], folder: Path) -> Imported:
    records, sender = _received(file, folder)
    taken = sum(_put(store, record, folder, sender) for record in records)
    return Imported(taken, len(records) - taken, sender)


def _received(file: IO[bytes], folder: Path) -> tuple[list[Record], str]:
    """Unpack a file's verdicts and logs into a folder; return what is what it says it is, and whose it is."""
    incoming = VerdictStore(folder)
    # tarfile's own "r|gz" never looks at gzip's checksum (Python 3.11): a flipped bit would go through.
    with gzip.GzipFile(fileobj=file) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        members = _unpacked(archive)
        sender, count = _about(*next(members, ("", b"")))
        for name, data in members:
            if found := _VERDICT.fullmatch(name):
                atomic.write(incoming.path(found[1]), data)
            elif _LOG.fullmatch(name) or (
                (file_of := _COLLECTED.fullmatch(name)) and ".." not in file_of[1].split("/")
            ):
                atomic.write(folder / name, data)
            else:
                raise BpfcompatError(_foreign(name))
        if len(plain.read(_PADDING_AT_MOST)) == _PADDING_AT_MOST:  # the checksum stands at the end
            raise BpfcompatError("it goes on behind its end.")
    records = [_checked(incoming, path.stem) for path in sorted((folder / "verdicts").glob("*/*.json"))]
    if len(records) != count:
        raise BpfcompatError(f"it holds {len(records)} of {count} verdicts.")
    return records, sender


def _put(store: VerdictStore, record: Record, folder: Path, sender: str) -> bool:
    """Store a record and its logs, unless its key has one already; return whether it was stored."""
    with store.lock(record.key):  # whoever runs the same right now has a folder for its logs there
        if store.get(record.key):
            return False
        place = store.evidence(record.key, record.run_id)
        for log in (folder / _place(record)).glob("*"):
            log.rename(place / log.name)
        store.put(replace(record, imported_from=record.imported_from or sender))
    return True


def _unpacked(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an archive; what is no plain file, or too large, is refused."""
    total = 0
    for member in archive:
        total += member.size
        data = archive.extractfile(member) if member.isreg() and member.size <= _MEMBER_BYTES_AT_MOST else None
        if data is None or total > _BYTES_AT_MOST:
            raise BpfcompatError(_foreign(member.name))
        yield member.name, data.read()


def _foreign(name: str) -> str:
    return f"it holds {name[:100]!r}, which is neither a verdict nor a log."


def _about(name: str, data: bytes) -> tuple[str, int]:
    """Return whose verdicts they are, and how many."""
    about = json.loads(data) if name == _ABOUT else None
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise BpfcompatError(f"it is not of format {_FORMAT} of `bpfcompat cache export`.")
    return str(about["sender"])[:100], int(about["verdicts"])


def _meaning(record: Record) -> Verdict:
    asked = record.key_parts.get("validation")
    validation = manifest.of_plain(asked) if asked else None
    return verdict.decide(record.outcome, Expectation(**record.key_parts["expectation"]), validation)


def _checked(incoming: VerdictStore, key: str) -> Record:
    """Return a record that is what it says, as far as that can be seen; raises BpfcompatError."""
    record = incoming.get(key)
    if record is None or jobs.key(record.key_parts) != key:
        raise BpfcompatError(f"the verdict {key[:12]}... is not one of the inputs that it names.")
    means = _meaning(record)
    if (means.status, means.classification) != (record.verdict.status, record.verdict.classification):
        raise BpfcompatError(f"the verdict {key[:12]}... is not what its outcome means.")
    if not verdict.is_certain(means):
        raise BpfcompatError(f"the verdict {key[:12]}... is of a kind that is never stored.")
    if record.evidence != _place(record) or not _LOG.fullmatch(f"{_place(record)}/console.log"):
        raise BpfcompatError(f"the verdict {key[:12]}... has its logs at {record.evidence!r}.")
    for one in record.outcome.collected:
        if digest.of_file(incoming.workdir / _place(record) / COLLECTED / one.path) != one.sha256:
            raise BpfcompatError(f"{one.path!r} of the verdict {key[:12]}... is not what was collected.")
    return record

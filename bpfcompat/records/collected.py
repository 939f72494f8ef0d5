"""Files that came out of guests, beside the logs of their records."""

from __future__ import annotations

import shutil
from pathlib import Path

from bpfcompat.outcome import COLLECTED, Record


def folder(workdir: Path, record: Record) -> Path | None:
    """Return where the files of a record are; None if there are none."""
    return workdir / record.evidence / COLLECTED if record.evidence and record.outcome.collected else None


def are_there(workdir: Path, record: Record) -> bool:
    """Tell whether the files that a record names are still there, by their sizes."""
    place = folder(workdir, record)
    try:
        return place is None or all(
            (place / one.path).stat().st_size == one.size_bytes for one in record.outcome.collected
        )
    except OSError:
        return False


def copy(workdir: Path, record: Record, target: Path) -> None:
    """Copy the files of a record to a folder, under their names; raises OSError."""
    place = folder(workdir, record)
    if place is None:
        return
    for one in record.outcome.collected:
        copied = target / one.path
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place / one.path, copied)

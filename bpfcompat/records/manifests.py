"""What payloads held, by name, so that what changed can be told by name."""

from __future__ import annotations

import json
from pathlib import Path

from bpfcompat.model import Payload
from bpfcompat.records import form
from bpfcompat.system import atomic


def keep(workdir: Path, payload: Payload) -> None:
    """Keep what a payload holds."""
    path = _path(workdir, payload.digest)
    if not path.exists():
        atomic.write_json(path, payload.contents)


def read(workdir: Path, payload: str) -> dict[str, tuple[int, str]] | None:
    """Return the files of a payload by its digest: name -> mode, and SHA-256 or a link's target; None if not kept."""
    try:
        listed = json.loads(_path(workdir, payload).read_bytes())
        return {name: (mode, content) for name, mode, content in listed}
    except form.UNREADABLE:
        return None


def _path(workdir: Path, payload: str) -> Path:
    return workdir / "payloads" / f"{payload}.json"

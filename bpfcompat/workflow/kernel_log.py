"""What a kernel said on its console while a command ran."""

from __future__ import annotations

from pathlib import Path


def last(folder: Path, since: int, most: int) -> str:
    """Return the last of what a console showed after its first `since` bytes, at most so many bytes of it; empty if nothing can be read.

    folder: the evidence.
    """
    try:
        end = (folder / "console.log").stat().st_size
    except OSError:
        return ""
    return said(folder, max(since, end - most), most).strip()


def said(folder: Path, since: int, most: int) -> str:
    """Return what a console showed after its first `since` bytes, at most so many bytes of it; empty if nothing can be read.

    folder: the evidence.
    """
    try:
        with (folder / "console.log").open("rb") as log:
            log.seek(since)
            return log.read(most).decode(errors="replace").replace("\r\n", "\n")
    except OSError:
        return ""

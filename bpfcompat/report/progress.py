"""What is told while a run goes on: each row as it ends, and on a terminal a last line with what goes on right now."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

from bpfcompat.outcome import Target
from bpfcompat.report import table

_ERASE = "\r\x1b[K"


def in_colour(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that wants colours (https://no-color.org)."""
    return is_live(stream) and not os.environ.get("NO_COLOR")


def is_live(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal on which a line can be written anew."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def render(total: int, ended: int, doing: tuple[str, ...], width: int) -> str:
    """Return the line that says how far a run is.

    total, ended: jobs; 0 where they are not counted.
    width: of the terminal, in columns.
    """
    line = f"{f'[{ended}/{total}] ' if total else ''}{', '.join(doing)}"
    return line if len(line) < width else f"{line[: width - 2]}…"


class Progress:
    """Tells how a run goes on. Its methods are called from several threads."""

    def __init__(self, stream: TextIO, total: int = 0) -> None:
        """Rows and the last line go to `stream`, notices to stderr.

        total: how many jobs there are.
        """
        self.total = total
        self._stream = stream
        self._live = is_live(stream)
        self._ended = 0
        self._doing: list[str] = []
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Say that something goes on while the block runs, like "booting debian-12-6.1"."""
        with self._above():
            self._doing.append(what)
        try:
            yield
        finally:
            with self._above():
                self._doing.remove(what)

    def stored(self) -> None:
        """Count a job whose verdict was there already."""
        with self._lock:
            self._ended += 1

    def row(self, target: Target) -> None:
        """Print a job's row as it ends."""
        with self._above():
            self._ended += 1
            self._stream.write(f"{table.line(target, colour=in_colour(self._stream))}\n")

    def write(self, text: str) -> None:
        """Print whole lines of somebody else's."""
        with self._above():
            self._stream.write(text)

    def notice(self, text: str) -> None:
        """Print a line that the user should see at once, to stderr."""
        with self._above():
            self._stream.flush()
            sys.stderr.write(f"bpfcompat: {text}\n")
            sys.stderr.flush()

    @contextlib.contextmanager
    def _above(self) -> Iterator[None]:
        """Take the last line away, let something happen, and write it anew."""
        with self._lock:
            if self._live and self._doing:
                self._stream.write(_ERASE)
            yield
            if self._live and self._doing:
                columns = shutil.get_terminal_size().columns
                self._stream.write(render(self.total, self._ended, tuple(self._doing), columns))
            self._stream.flush()

"""The streams of a program in a guest, on ours."""

from __future__ import annotations

import os
import select
import sys
import threading

from bpfcompat.system import processes


class Out:
    """A stream of ours, written to by several threads, byte for byte."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()
        self.gone = False
        """Nobody reads it any more."""

    def __call__(self, data: bytes) -> None:
        with self._lock:
            while data and not self.gone:
                try:
                    data = data[os.write(self._number, data) :]
                except BlockingIOError:  # whoever started us shares a descriptor that does not wait
                    select.select((), (self._number,), ())
                except BrokenPipeError:
                    self.gone = True
                    processes.stop_all()  # as SIGPIPE would end the program here


class Prefixed:
    """A stream whose lines are told apart from those of other kernels."""

    def __init__(self, to: Out, prefix: bytes) -> None:
        self._to = to
        self._prefix = prefix
        self._line = b""

    @property
    def gone(self) -> bool:
        """Nobody reads it any more."""
        return self._to.gone

    def __call__(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        self._to(b"".join(self._prefix + line + b"\n" for line in lines))

    def close(self) -> None:
        """Write what came without a newline."""
        if self._line:
            self._to(self._prefix + self._line + b"\n")


def say(text: str) -> None:
    """Tell the user something beside what the program says."""
    sys.stderr.write(f"bpfcompat: {text}\n")

"""A command that does not end by itself, from its beginning to its signal, as the host sees it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace

from bpfcompat.guest import STREAM_KEPT
from bpfcompat.model import Ready
from bpfcompat.outcome import Readiness
from bpfcompat.vm.console import ConnectionEnded, Control, Line, Streams
from bpfcompat.vm.sign import Sign


class Readying:
    """Follows the steps of such a command; tells the guest when the sign stands in a stream, which only the host looks for."""

    def __init__(self, ready: Ready, control: Control, streams: Streams, nonce: str) -> None:
        """Look for the sign from now on: it may come at once."""
        self._ready = ready
        self._control = control
        self._streams = streams
        self._nonce = nonce
        self._sign = Sign(ready.pattern) if ready.stream else None
        self._told = threading.Event()
        self.readiness = Readiness()
        if ready.stream:
            streams.watch(ready.stream, self._look)

    def _look(self, data: bytes) -> None:
        if self._sign and self._sign.shows(data):
            self._tell()

    def _tell(self) -> None:
        if self._told.is_set():
            return
        self._told.set()
        with contextlib.suppress(ConnectionEnded):  # told better by who waits for the end
            self._control.send(f"SIGN {self._nonce}\n".encode())

    def take(self, line: Line) -> bool:
        """Take what the guest tells; return whether a step was made, which has its own limit from now on."""
        if line.kind == "SEEN":
            self.readiness = replace(self.readiness, seen=int(line.fields[0]) / 1e9)
        elif line.kind == "MEANWHILE":
            self.readiness = replace(self.readiness, meanwhile=int(line.fields[0]))
        elif line.kind == "SIGNALLED":
            self.readiness = replace(self.readiness, signalled=True)
        else:
            return False
        return True

    def shows_at_last(self) -> bool:
        """Tell whether the sign has come if the output ends here, and tell the guest; for the moment when its time is up."""
        if self._sign is None or self._told.is_set() or not self._sign.shows_now():
            return False
        self._tell()
        return True

    def ended(self, seconds: float) -> Readiness:
        """Return what is known at the command's end, when all its output has come.

        seconds: how long it ran.
        """
        shown = self._sign is not None and (self._told.is_set() or self._sign.shows_now())
        return replace(self.readiness, seen=seconds) if shown and self.readiness.seen is None else self.readiness

    def overlooked(self) -> str:
        """Return why the sign may have come unseen; empty if it cannot."""
        stream = self._ready.stream
        if stream is None or self.readiness.seen is not None or self._streams.received(stream) < STREAM_KEPT:
            return ""
        return f"The sign was not seen in the first {STREAM_KEPT >> 10} KiB of {stream}, and what comes later is not looked at."

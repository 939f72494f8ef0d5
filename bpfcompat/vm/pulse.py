"""Whether a guest that shows a panic still lives."""

from __future__ import annotations

import contextlib
import threading

from bpfcompat.vm.console import ConnectionEnded
from bpfcompat.vm.emulator import ALIVE_SECONDS, Emulator


class Pulse:
    """Asks a guest whose console shows a panic for an answer, and ends it if there is none.

    A panicked kernel resets the machine (panic=-1), unless the command has set kernel.panic to 0: then nothing would ever
    happen again. A guest that only printed the words answers a PING.
    """

    def __init__(self, emulator: Emulator, nonce: str) -> None:
        """Nothing is asked yet."""
        self._emulator = emulator
        self._nonce = nonce
        self._timer: threading.Timer | None = None
        self.killed = False
        """The guest gave no answer."""

    def check(self) -> None:
        """Ask; called by the thread that reads the console."""
        # The clock is there before the question: the answer, which another thread reads, stops it.
        self._timer = threading.Timer(ALIVE_SECONDS, self._kill)
        self._timer.daemon = True
        self._timer.start()
        with contextlib.suppress(ConnectionEnded):
            self._emulator.control.send(f"PING {self._nonce}\n".encode())

    def answered(self) -> None:
        """Stop the clock: the guest lives, or it is over."""
        if self._timer:
            self._timer.cancel()

    def _kill(self) -> None:
        self.killed = True
        self._emulator.kill()

"""What a command in a guest reads: the bytes of a file descriptor of ours, window by window, and the size of its terminal."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from collections.abc import Callable

from bpfcompat.guest import JOB_WINDOW
from bpfcompat.vm.console import ConnectionEnded, Control


class Typed:
    """Reads a file descriptor and sends what comes, as fast as the guest takes it; a thread of its own does it."""

    def __init__(self, control: Control, nonce: str, source: int, seen: Callable[[bytes], None] | None = None) -> None:
        """Start reading.

        source: the file descriptor.
        seen: called with what was read before it is sent: keys, of a terminal, whose end is not told.
        """
        self._control = control
        self._nonce = nonce
        self._source = source
        self._seen = seen
        self._taken = threading.Semaphore(0)
        self._size = ""
        self._woken, self._wake = os.pipe()
        self._stopped = False
        self._thread = threading.Thread(target=self._send_all, name="bpfcompat-input", daemon=True)
        self._thread.start()

    def took(self) -> None:
        """Note that the guest has taken what was sent last."""
        self._taken.release()

    def resize(self, rows: int, columns: int) -> None:
        """Tell the guest the size of its terminal; may be called by a signal handler."""
        self._size = f"{rows} {columns}"
        os.write(self._wake, b".")

    def stop(self) -> None:
        """End the thread; what it has read and not sent is lost."""
        self._stopped = True
        self._taken.release()
        os.write(self._wake, b".")
        self._thread.join()
        os.close(self._wake)
        os.close(self._woken)

    def _send_all(self) -> None:
        with contextlib.suppress(ConnectionEnded, OSError), selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            # A regular file cannot be waited for, and need not be.
            with contextlib.suppress(PermissionError):
                selector.register(self._source, selectors.EVENT_READ)
            while not self._stopped:
                always = self._source not in selector.get_map()
                ready = [key.fd for key, _ in selector.select(0 if always else None)]
                if self._woken in ready:
                    os.read(self._woken, 64)
                    size, self._size = self._size, ""
                    if size:
                        self._control.send(f"SIZE {self._nonce} {size}\n".encode())
                elif (always or self._source in ready) and not self._send_one():
                    return

    def _send_one(self) -> bool:
        """Send what can be read now, and wait until it was taken; return whether there may be more."""
        data = os.read(self._source, JOB_WINDOW)
        if self._seen:
            if not data:
                return False
            self._seen(data)
        self._control.send(f"IN {self._nonce} {len(data)}\n".encode() + data)
        if data:
            self._taken.acquire()
        return bool(data)

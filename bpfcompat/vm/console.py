"""The serial ports of a guest: control lines by pexpect, the other ports drained to files all the time."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import selectors
import socket
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from pexpect import EOF, TIMEOUT
from pexpect.fdpexpect import fdspawn

from bpfcompat.dataclass import dataclass
from bpfcompat.guest import PROTOCOL
from bpfcompat.vm.job import FOREVER

_LINE = re.compile(rb"(BPFCOMPAT\t[^\n]*)\t([0-9a-f]{8})\r?\n")
_PANIC = b"Kernel panic - not syncing"
_READ = 65536
_STREAM_BYTES_AT_MOST = 1 << 20
_CONSOLE_BYTES_AT_MOST = 4 << 20


@dataclass(frozen=True)
class Line:
    """A control line that arrived whole."""

    kind: str
    nonce: str
    fields: tuple[str, ...]


def parse(body: bytes, checksum: bytes) -> Line | None:
    """Return a control line's parts, or None if its checksum or its form is not right."""
    if zlib.crc32(body) != int(checksum, 16):
        return None
    parts = body.decode(errors="replace").split("\t")
    if len(parts) < 4 or parts[1] != PROTOCOL:
        return None
    return Line(parts[2], parts[3], tuple(parts[4:]))


class ConnectionEnded(Exception):  # noqa: N818 - not an error but an outcome
    """QEMU has closed the control port: the machine is gone."""


class _Port(fdspawn):  # type: ignore[misc]  # pexpect has no types for it
    """A pexpect session whose memory of what no pattern matched stays small."""

    _before: Any

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> bytes:
        if self._before.tell() > 16 * _READ:  # pexpect keeps all it ever read: 200 MB for 100 MB of noise
            kept = self._before.getvalue()[-_READ:]
            self._before = self.buffer_type()
            self._before.write(kept)
        try:
            data: bytes = super().read_nonblocking(size, timeout)
        except ConnectionResetError as error:  # QEMU was killed with bytes unread; pexpect knows EIO only
            raise EOF("connection reset") from error
        return data


class Control:
    """The control port, ttyS1."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        # searchwindowsize below maxread loses matches for good; delayafterread costs 0.1 ms a read.
        self._port = _Port(
            connection.fileno(), timeout=None, maxread=_READ, searchwindowsize=_READ + 4096, use_poll=True
        )
        self._port.delayafterread = None

    def next_line(self, deadline: float) -> Line:
        """Return the next valid control line.

        deadline: on time.monotonic()'s clock, in seconds.
        Raises TimeoutError, or ConnectionEnded when the machine is gone.
        """
        while True:
            try:
                self._port.expect(_LINE, timeout=max(0.0, deadline - time.monotonic()))
            except TIMEOUT as error:
                raise TimeoutError from error
            except EOF as error:
                raise ConnectionEnded from error
            line = parse(*self._port.match.groups())
            if line is not None:
                return line

    def send(self, data: bytes) -> None:
        """Send bytes to the guest; raises ConnectionEnded when the machine is gone."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionEnded from error


Live = Mapping[str, Callable[[bytes], None]]
"""What takes the bytes of stdout and stderr as they come; called by the thread that reads all ports."""


@dataclass
class _Drain:
    """One port that is only read."""

    connection: socket.socket
    path: Path
    at_most: int
    live: Callable[[bytes], None] | None = None
    received: int = 0
    heard: float = 0.0
    """When the last of it came, on time.monotonic()'s clock."""
    tail: bytearray = field(default_factory=bytearray)
    """The last bytes of what came after the file was full."""

    def take(self, file: Any, data: bytes) -> None:
        if self.live:
            self.live(data)
            self.received += len(data)
            return
        room = max(0, self.at_most - self.received)
        self.received += len(data)
        self.heard = time.monotonic()
        if len(data) > room:
            self.tail += data[room:]
            del self.tail[: -self.at_most // 8]
        _write(file, data[:room])

    def finish(self, file: Any) -> None:
        if self.tail:
            left_out = self.received - self.at_most - len(self.tail)
            _write(file, b"\n[bpfcompat: %d bytes left out here]\n" % left_out + self.tail)


def _write(file: Any, data: bytes) -> None:
    """Write all of `data` to an unbuffered file; a disk that fills up first takes a part of it, without an error."""
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Streams:
    """The console and the command's streams: read by a thread of their own from start to end, into files.

    A port that nobody reads stalls the guest.
    """

    def __init__(
        self,
        connections: dict[str, socket.socket],
        folder: Path,
        on_panic: Callable[[], None],
        live: Live | None = None,
    ) -> None:
        """Start reading; `folder` holds the logs already, which are added to by what does not go elsewhere."""
        limits = {"console": _CONSOLE_BYTES_AT_MOST, "stdout": _STREAM_BYTES_AT_MOST, "stderr": _STREAM_BYTES_AT_MOST}
        self._drains = {
            name: _Drain(connections[name], folder / f"{name}.log", limit, (live or {}).get(name))
            for name, limit in limits.items()
        }
        self._on_panic = on_panic
        self._watched: dict[str, Callable[[bytes], None]] = {}
        self._changed = threading.Condition()
        self._ended = False
        self._console_end = b""
        self.failure: str | None = None
        """Why the logs are not whole, if they are not."""
        self.panic_seen = False
        self._thread = threading.Thread(target=self._read_all, name="bpfcompat-streams", daemon=True)
        self._thread.start()

    def watch(self, name: str, take: Callable[[bytes], None]) -> None:
        """Have what comes of a stream from now on handed to a function, by the thread that reads."""
        self._watched[name] = take

    def patience(self, seconds: float) -> float:
        """Return how long a rest of so many seconds on the wire may take: for ever where somebody reads it at their own pace."""
        return FOREVER if any(drain.live for drain in self._drains.values()) else seconds

    def wait_for(self, stdout: int, stderr: int, seconds: float) -> bool:
        """Wait until so many bytes of each stream have arrived; return whether they have."""

        def arrived() -> bool:
            return self._drains["stdout"].received >= stdout and self._drains["stderr"].received >= stderr

        with self._changed:
            self._changed.wait_for(lambda: self._ended or arrived(), seconds)
            return arrived()

    def received(self, name: str) -> int:
        """Return how many bytes have arrived on a port."""
        return self._drains[name].received

    def heard(self, name: str) -> float:
        """Return when the last byte came on a port, on time.monotonic()'s clock."""
        return self._drains[name].heard

    def join(self) -> None:
        """Wait until every port has ended, which they do with the machine."""
        self._thread.join()

    def _read_all(self) -> None:
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            for name, drain in self._drains.items():
                file = stack.enter_context(drain.path.open("ab", buffering=0))
                selector.register(drain.connection, selectors.EVENT_READ, (name, drain, file))
            while selector.get_map():
                for key, _ in selector.select():
                    if not self._read_one(*key.data):
                        selector.unregister(key.fileobj)
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read_one(self, name: str, drain: _Drain, file: Any) -> bool:
        try:
            data = drain.connection.recv(_READ)
        except OSError:
            data = b""
        with self._changed:
            try:
                drain.take(file, data) if data else drain.finish(file)
            except OSError as error:  # a full disk: the port is read on all the same, or the guest would seem to hang
                self.failure = self.failure or f"{drain.path.name} cannot be written: {error.strerror}"
            self._changed.notify_all()
        if name == "console" and not self.panic_seen:
            self._look_for_panic(data)
        if data and name in self._watched:
            self._watched[name](data)
        return bool(data)

    def _look_for_panic(self, data: bytes) -> None:
        text = self._console_end + data
        self._console_end = text[-len(_PANIC) :]
        if _PANIC in text:
            self.panic_seen = True
            self._on_panic()

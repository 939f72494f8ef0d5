"""QEMU's monitor: commands as JSON lines over a connected socket."""

from __future__ import annotations

import json
import socket
from typing import Any


class MonitorError(Exception):
    """QEMU refused a command, or is gone."""


class Monitor:
    """A QMP session (docs/interop/qmp-spec in QEMU's source); events are passed over."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        """Greet QEMU; raises MonitorError if it does not answer in `seconds`."""
        connection.settimeout(seconds)
        self._socket = connection
        self._lines = connection.makefile("rb")
        try:
            self._receive()
            self.execute("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        self._lines.close()

    def execute(self, command: str, descriptor: int | None = None, **arguments: Any) -> Any:
        """Run a command and return what it returns; raises MonitorError.

        descriptor: a file descriptor that QEMU gets a copy of, for commands that take one.
        """
        request = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})}).encode() + b"\n"
        try:
            if descriptor is None:
                self._socket.sendall(request)
            else:
                socket.send_fds(self._socket, [request], [descriptor])
        except OSError as error:
            raise MonitorError(f"{command}: {error}") from error
        while True:
            answer = self._receive()
            if "error" in answer:
                raise MonitorError(f"{command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def wait_for(self, event: str) -> dict[str, Any]:
        """Return the data of the next event of that name; raises MonitorError if none comes in time."""
        while True:
            answer = self._receive()
            if answer.get("event") == event:
                data: dict[str, Any] = answer.get("data", {})
                return data

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise MonitorError(f"the monitor does not answer: {error}") from error
        if not line:
            raise MonitorError("the monitor is closed")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:  # cut off by QEMU's end
            raise MonitorError("the monitor is closed") from error
        return answer

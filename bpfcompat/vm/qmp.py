"""QEMU's monitor: commands as JSON lines over a connected socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

Command = tuple[str, dict[str, Any]]
"""Its name and its arguments."""
_CLOSED = "the monitor is closed"


class MonitorError(Exception):
    """QEMU refused a command, or is gone."""


class Monitor:
    """A QMP session (docs/interop/qmp-spec in QEMU's source); events are passed over."""

    def __init__(
        self, connection: socket.socket, seconds: float, first: Sequence[Command] = (), descriptor: int | None = None
    ) -> None:
        """Greet QEMU; raises MonitorError if it does not answer in `seconds`.

        first: commands that it finds there already when it comes up, and runs then.
        descriptor: a file descriptor that it gets a copy of, for that of them which takes one.
        """
        connection.settimeout(seconds)
        self._socket = connection
        self._lines = connection.makefile("rb")
        commands = [("qmp_capabilities", {}), *first]
        try:
            self._send(commands, descriptor)
            self._receive()
            for command, _ in commands:
                self._answer(command)
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
        self._send([(command, arguments)], descriptor)
        return self._answer(command)

    def _send(self, commands: Sequence[Command], descriptor: int | None) -> None:
        # QEMU 7.2 reads byte by byte, with a turn of its main loop for each, so there is no space in it.
        requests = b"".join(
            json.dumps({"execute": name, **({"arguments": given} if given else {})}, separators=(",", ":")).encode()
            + b"\n"
            for name, given in commands
        )
        try:
            if descriptor is None:
                self._socket.sendall(requests)
            else:
                socket.send_fds(self._socket, [requests], [descriptor])
        except BrokenPipeError as error:
            raise MonitorError(_CLOSED) from error
        except OSError as error:
            raise MonitorError(f"{commands[-1][0]}: {error}") from error

    def _answer(self, command: str) -> Any:
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
        except ConnectionResetError as error:  # it has not read all that was sent
            raise MonitorError(_CLOSED) from error
        except OSError as error:
            raise MonitorError(f"the monitor does not answer: {error}") from error
        if not line:
            raise MonitorError(_CLOSED)
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:  # cut off by QEMU's end
            raise MonitorError(_CLOSED) from error
        return answer

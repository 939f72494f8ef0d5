"""A guest as its host talks with it: it comes up, takes a job, begins its command, and ends."""

from __future__ import annotations

import contextlib
import secrets
import signal
import time
import zlib
from pathlib import Path
from types import TracebackType

from bpfcompat.errors import NoVerdict
from bpfcompat.guest import JOB_WINDOW
from bpfcompat.model import Check, Classification, Observed, Outcome, Payload, Ready
from bpfcompat.system import processes
from bpfcompat.vm import qemu
from bpfcompat.vm.command import TAIL_BYTES, Command
from bpfcompat.vm.console import ConnectionEnded, Line
from bpfcompat.vm.emulator import Emulator
from bpfcompat.vm.pulse import Pulse
from bpfcompat.vm.qmp import Monitor

__all__ = ["TAIL_BYTES", "Guest", "boot"]

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
}
"""The same on every kernel; a check's `env:` comes on top, and nothing of the host's."""


def boot(machine: qemu.Machine, disk: Path, folder: Path, deadline: float) -> Guest:
    """Return a guest, booted from its start, that waits for its job.

    disk: the payload's image.
    folder: for the evidence.
    deadline: on time.monotonic()'s clock, in seconds.
    Raises NoVerdict.
    """
    guest = Guest(machine, disk, folder)
    try:
        guest.wait_ready(deadline)
    except BaseException:
        guest.stop()
        raise
    return guest


class Guest:
    """A running machine. A context manager: at its end the machine is gone, whatever happened."""

    def __init__(
        self, machine: qemu.Machine, disk: Path, folder: Path, memory: qemu.Memory | None = None, console: bytes = b""
    ) -> None:
        """Start QEMU; the arguments are those of `Emulator`. Raises NoVerdict (HOST_FAILURE) if it cannot be started."""
        self.nonce = secrets.token_hex(16)
        self._emulator = Emulator(machine, disk, folder, memory, console)
        self._pulse = Pulse(self._emulator, self.nonce)
        self._streams = self._emulator.read_streams(self._pulse.check)
        self.console_before = 0
        """Bytes of console.log that were there when the command began."""

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the machine at once."""
        self._pulse.answered()
        self._emulator.stop()

    @property
    def command_line(self) -> str:
        """QEMU's command line, ready to paste but for the inherited file descriptors."""
        return self._emulator.command_line

    def monitor(self, seconds: float) -> Monitor:
        """Return the machine's monitor; raises MonitorError, which its commands do after so many seconds of silence."""
        return self._emulator.monitor(seconds)

    def said(self) -> str:
        """Return the last line that QEMU itself printed."""
        return self._emulator.said()

    def wait_ready(self, deadline: float) -> None:
        """Wait until the guest waits for a job; raises NoVerdict (BOOT_FAILURE, or HOST_FAILURE if QEMU itself failed)."""
        self._wait_for("READY", deadline)

    def settle(self, deadline: float) -> None:
        """Have a guest that waits for a job make itself ready to be saved; raises NoVerdict as `wait_ready` does."""
        with contextlib.suppress(ConnectionEnded):  # told better by what follows
            self._emulator.control.send(b"SETTLE\n")
        self._wait_for("SETTLED", deadline)

    def _wait_for(self, kind: str, deadline: float) -> None:
        try:
            line = self._emulator.control.next_line(deadline)
        except TimeoutError as error:
            raise NoVerdict(
                Classification.BOOT_FAILURE,
                "the guest did not come up in time.",
                f"see {self._emulator.folder / 'console.log'}",
            ) from error
        except ConnectionEnded as error:
            raise self._gone("before the guest was up") from error
        if line.kind != kind:
            raise NoVerdict(Classification.BOOT_FAILURE, f"the guest said {line.kind} where {kind} was due.")

    def begin(self, check: Check, payload: Payload, deadline: float) -> Observed:
        """Hand the guest its job and wait until the command starts.

        Raises NoVerdict (STAGING_FAILURE, BOOT_FAILURE, HOST_FAILURE).
        """
        blob = _blob(check, payload)
        self._command = Command(self._emulator, self._streams, self._pulse, self.nonce, check.ready)
        try:
            self._emulator.control.send(
                f"JOB {self.nonce} {len(blob)} {zlib.crc32(blob):08x}\n".encode() + blob[:JOB_WINDOW]
            )
            for start in range(JOB_WINDOW, len(blob), JOB_WINDOW):
                self._expect("GOT", deadline)
                self._emulator.control.send(blob[start : start + JOB_WINDOW])
            line = self._expect("BEGIN", deadline)
        except TimeoutError as error:
            raise NoVerdict(
                Classification.BOOT_FAILURE,
                "the guest came up, but took no job in time.",
                f"see {self._emulator.folder / 'console.log'}",
            ) from error
        except ConnectionEnded as error:
            raise self._gone("before the command began") from error
        self.console_before = (self._emulator.folder / "console.log").stat().st_size
        release, machine, version = line.fields
        return Observed(release, machine, version)

    def _expect(self, kind: str, deadline: float) -> Line:
        while True:
            line = self._emulator.control.next_line(deadline)
            if line.nonce != self.nonce:
                continue
            if line.kind == "FAIL":
                raise NoVerdict(
                    Classification.STAGING_FAILURE, f"the guest could not set up the command: {line.fields[0]}."
                )
            if line.kind == kind:
                return line

    def _gone(self, when: str) -> NoVerdict:
        code = self._emulator.exit_code()
        self._streams.join()
        if processes.interrupted():
            return NoVerdict(Classification.INTERRUPTED, "The run was interrupted.")
        if code or self._emulator.said():
            return NoVerdict(
                Classification.HOST_FAILURE, f"QEMU ended {when} (status {code}). {self._emulator.said()}".strip()
            )
        panicked = " The kernel panicked." if self._streams.panic_seen else ""
        return NoVerdict(
            Classification.BOOT_FAILURE,
            f"the machine stopped {when}.{panicked}",
            f"see {self._emulator.folder / 'console.log'}",
        )

    def finish(self, seconds: float, most: float) -> Outcome:
        """Wait for the command's end and return what happened; the evidence is complete when this returns.

        seconds: the command's limit.
        most: seconds for all of it, where it has several limits.
        """
        return self._command.finish(seconds, most)


def _ready(ready: Ready) -> list[tuple[str, str]]:
    parts = [("ready", str(int(signal.Signals[f"SIG{ready.signal}"])))]
    if ready.file:
        parts.append(("ready file", ready.file))
    elif not ready.stream:
        parts.append(("ready notify", "yes"))
    return [*parts, *([("while ready", ready.meanwhile)] if ready.meanwhile else [])]


def _blob(check: Check, payload: Payload) -> bytes:
    """Return the job as init reads it: NUL-terminated names and values."""
    now = time.time_ns()
    parts = [("command", check.command), ("time", f"{now // 10**9}.{now % 10**9:09}"), ("seed", secrets.token_hex(64))]
    parts += [("env", f"{name}={value}") for name, value in {**ENVIRONMENT, **dict(check.env)}.items()]
    if check.limits == "distribution":
        parts.append(("limits", "distribution"))
    parts += _ready(check.ready) if check.ready else []
    parts += [("module", name) for name in check.guest_modules]
    if not payload.empty:
        parts.append(("payload", "yes"))
    parts += [(name, file.path) for name, file in (("binary", payload.binary), ("artifact", payload.artifact)) if file]
    return b"".join(text.encode(errors="surrogateescape") + b"\0" for part in parts for text in part)

"""A guest as its host talks with it: it comes up, takes a job, begins its command, and ends."""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from bpfcompat.errors import NoVerdict
from bpfcompat.guest import JOB_WINDOW
from bpfcompat.model import Ready
from bpfcompat.outcome import Classification, Observed, Outcome
from bpfcompat.system import processes
from bpfcompat.vm import job, qemu
from bpfcompat.vm.command import TAIL_BYTES, Command
from bpfcompat.vm.console import ConnectionEnded, Line, Live
from bpfcompat.vm.emulator import Emulator
from bpfcompat.vm.pulse import Pulse
from bpfcompat.vm.qmp import Monitor
from bpfcompat.vm.typed import Typed

__all__ = ["TAIL_BYTES", "Guest", "Live", "Typed", "boot", "start"]


def start(
    machine: qemu.Machine,
    disk: Path,
    folder: Path,
    memory: qemu.Memory | None = None,
    live: Live | None = None,
) -> Guest:
    """Return a guest at its first instruction; the arguments are those of `Emulator` and `boot`, and so is what it raises."""
    return Guest(Emulator(machine, disk, folder, memory), live)


def boot(machine: qemu.Machine, disk: Path, folder: Path, deadline: float, live: Live | None = None) -> Guest:
    """Return a guest, booted from its start, that waits for its job.

    disk: the payload's image.
    folder: for the evidence.
    deadline: on time.monotonic()'s clock, in seconds.
    live: where the command's streams go as they come, instead of into the evidence.
    Raises NoVerdict.
    """
    guest = start(machine, disk, folder, live=live)
    try:
        guest.wait_ready(deadline)
    except BaseException:
        guest.stop()
        raise
    return guest


class Guest:
    """A running machine. A context manager: at its end the machine is gone, whatever happened."""

    def __init__(self, emulator: Emulator, live: Live | None = None) -> None:
        """Begin to read what an emulator's guest says.

        live: where the command's streams go as they come, instead of into the evidence.
        """
        self.nonce = os.urandom(16).hex()
        self._emulator = emulator
        self._pulse = Pulse(self._emulator, self.nonce)
        self._streams = self._emulator.read_streams(self._pulse.check, live)
        self._collects = False
        self.starved = ""
        """What kept the command from running until its limit was up, if that was this host."""
        self.console_before = 0
        """Bytes of console.log that were there when the guest got its job."""

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

    def wait_ready_while_it_talks(self, silence: float, deadline: float) -> None:
        """Wait until the guest waits for a job, as long as its console goes on; raises NoVerdict as `wait_ready` does.

        silence: seconds without a byte on the console that end it.
        deadline: on time.monotonic()'s clock, in seconds.
        """
        heard = time.monotonic()
        while True:
            try:
                return self._wait_for("READY", min(deadline, heard + silence))
            except NoVerdict as error:
                last = self._streams.heard("console")
                if not isinstance(error.__cause__, TimeoutError) or last <= heard or time.monotonic() >= deadline:
                    raise
                heard = last

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

    def begin(self, parts: job.Parts, deadline: float, ready: Ready | None = None) -> Observed:
        """Hand the guest its job and wait until the command starts.

        ready: how a command is ended that does not end by itself.

        Raises NoVerdict (STAGING_FAILURE, BOOT_FAILURE, HOST_FAILURE).
        """
        # Not when BEGIN is read: a busy host may read it after the command has had the kernel say something.
        self.console_before = (self._emulator.folder / "console.log").stat().st_size
        blob = job.blob(parts)
        self._command = Command(self._emulator, self._streams, self._pulse, self.nonce, ready)
        self._collects = any(name == "collect" for name, _ in parts)
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

    def feed(self, source: int, seen: Callable[[bytes], None] | None = None) -> Typed:
        """Send what comes from a file descriptor to the command, whose job said that it reads; the arguments are those of `Typed`."""
        self._command.typed = Typed(self._emulator.control, self.nonce, source, seen)
        return self._command.typed

    def finish(self, seconds: float, most: float) -> Outcome:
        """Wait for the command's end and return what happened; the evidence is complete when this returns.

        seconds: the command's limit.
        most: seconds for all of it, where it has several limits.
        """
        try:
            return self._command.finish(seconds, most, collects=self._collects)
        finally:
            self.starved = self._command.starved
            if self._command.typed:
                self._command.typed.stop()

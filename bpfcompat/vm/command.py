"""A command that runs in a guest, until it ends or is seen never to end."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from bpfcompat.guest import STREAM_KEPT
from bpfcompat.model import Classification, Counted, Outcome, OutcomeKind, Ready, Stream, Taint
from bpfcompat.system import processes
from bpfcompat.vm.console import ConnectionEnded, Line, Streams
from bpfcompat.vm.emulator import Emulator
from bpfcompat.vm.pulse import Pulse
from bpfcompat.vm.qmp import MonitorError
from bpfcompat.vm.readying import Readying
from bpfcompat.vm.typed import Typed

TAIL_BYTES = 4096
_DRAIN_SECONDS = 30.0  # the serial port carries 0.5 MB/s under emulation, and at most 1 MB is left to carry


class Command:
    """The command of one guest, from BEGIN on."""

    def __init__(
        self, emulator: Emulator, streams: Streams, pulse: Pulse, nonce: str, ready: Ready | None = None
    ) -> None:
        """Nothing is waited for yet, but the sign of a command that does not end by itself: it may come at once."""
        self.typed: Typed | None = None
        """What the command reads."""
        self._emulator = emulator
        self._control = emulator.control
        self._streams = streams
        self._pulse = pulse
        self._nonce = nonce
        self._folder = emulator.folder
        self._taint: Taint | None = None
        self._ready = ready
        self._readying = Readying(ready, self._control, streams, nonce) if ready else None
        self._counted: Counted | None = None

    def finish(self, seconds: float, most: float) -> Outcome:
        """Wait for the command's end and return what happened; the evidence is complete when this returns.

        seconds: the command's limit; of one that does not end by itself, for each step once it is ready.
        most: seconds for all of it.
        """
        outcome = self._wait_for_end(seconds, time.monotonic() + most)
        if self._streams.failure:
            return Outcome(
                OutcomeKind.NO_VERDICT,
                f"The evidence is not whole: {self._streams.failure}.",
                Classification.HOST_FAILURE,
            )
        return outcome

    def _wait_for_end(self, seconds: float, end: float) -> Outcome:
        deadline = min(end, time.monotonic() + (self._ready.within if self._ready else seconds))
        try:
            while True:
                line = self._next_line(deadline)
                if line is None:
                    deadline = min(end, time.monotonic() + seconds)
                elif line.kind == "ENDED":
                    deadline = time.monotonic() + self._streams.patience(_DRAIN_SECONDS)
                elif line.kind == "END":
                    return self._ended(line)
                elif line.kind == "FAIL":
                    return self._without_end(OutcomeKind.NO_VERDICT, f"The guest could not go on: {line.fields[0]}.")
                elif self._take(line):
                    deadline = min(end, time.monotonic() + seconds)
        except TimeoutError:
            self._dump_tasks()
            return self._timed_out(seconds)
        except ConnectionEnded:
            return self._lost()

    def _next_line(self, deadline: float) -> Line | None:
        """Return the guest's next line, or None where its time is up and its output turns out to be the sign."""
        while True:
            try:
                line = self._control.next_line(deadline)
            except TimeoutError:
                if self._readying and self._readying.shows_at_last():
                    return None
                raise
            if line.nonce == self._nonce:
                return line

    def _timed_out(self, seconds: float) -> Outcome:
        if self._readying and (why := self._readying.overlooked()):
            return self._without_end(OutcomeKind.NO_VERDICT, why)
        return self._without_end(OutcomeKind.TIMEOUT, f"The command was still running after {seconds:g} s.")

    def _take(self, line: Line) -> bool:
        """Take what the guest tells beside the command's end; return whether the command came a step further."""
        if line.kind == "PONG":
            self._pulse.answered()
        elif line.kind == "TOOK" and self.typed:
            self.typed.took()
        elif line.kind == "TAINT":
            before, after = (int(text) for text in line.fields)
            self._taint = Taint(before, after) if before >= 0 and after >= 0 else None
        elif line.kind == "COUNTED":
            kills, charges, memlock, *unknown = line.fields
            self._counted = Counted(int(kills), charges == "1", int(memlock), "".join(unknown))
        return self._readying is not None and self._readying.take(line)

    def _ended(self, line: Line) -> Outcome:
        status, nanoseconds, _, _, rss, out, out_sent, err, err_sent, drained = (int(text) for text in line.fields)
        if not self._streams.wait_for(out_sent, err_sent, self._streams.patience(_DRAIN_SECONDS)):
            came = [
                f"{name}: {self._streams.received(name)} of {n} bytes"
                for name, n in (("stdout", out_sent), ("stderr", err_sent))
            ]
            reason = f"The command's output did not arrive whole ({', '.join(came)})."
            return Outcome(OutcomeKind.NO_VERDICT, reason, Classification.HOST_FAILURE)
        self._stop()
        notes = []
        if (self._streams.received("stdout"), self._streams.received("stderr")) != (out_sent, err_sent):
            notes.append("the command wrote to the serial ports of its own streams; the logs hold that, too")
        if not drained:
            notes.append("a process that could not be killed held the output open; its later output is lost")
        return Outcome(
            OutcomeKind.ENDED, wait_status=status, command_seconds=nanoseconds / 1e9, max_rss_kib=rss, notes=tuple(notes),
            taint=self._taint, readiness=self._readying.ended(nanoseconds / 1e9) if self._readying else None,
            counted=self._counted,
            stdout=_stream(self._folder / "stdout.log", out, out_sent), stderr=_stream(self._folder / "stderr.log", err, err_sent),
        )  # fmt: skip

    def _lost(self) -> Outcome:
        """Tell what ended the machine: the guest, which lets QEMU exit with 0, or somebody on this side."""
        code = self._emulator.exit_code()
        self._stop()
        if processes.interrupted():
            return Outcome(OutcomeKind.NO_VERDICT, "The run was interrupted.", Classification.INTERRUPTED)
        if self._streams.panic_seen and (code == 0 or self._pulse.killed):
            return self._without_end(OutcomeKind.PANIC, "The kernel panicked while the command ran.")
        if code == 0:
            return self._without_end(OutcomeKind.LOST, "The machine rebooted or powered off while the command ran.")
        reason = f"QEMU was ended from outside, or failed (status {code}), while the command ran. {self._emulator.said()}".strip()
        return Outcome(OutcomeKind.NO_VERDICT, reason, Classification.HOST_FAILURE)

    def _without_end(self, kind: OutcomeKind, reason: str) -> Outcome:
        self._stop()
        received = [self._streams.received(name) for name in ("stdout", "stderr")]
        return Outcome(
            kind, reason, Classification.HOST_FAILURE if kind is OutcomeKind.NO_VERDICT else None,
            taint=self._taint, readiness=self._readying.readiness if self._readying else None,
            stdout=_stream(self._folder / "stdout.log", received[0], received[0]),
            stderr=_stream(self._folder / "stderr.log", received[1], received[1]),
        )  # fmt: skip

    def _stop(self) -> None:
        """End the machine, so that its logs are complete."""
        self._pulse.answered()
        self._emulator.stop()

    def _dump_tasks(self) -> None:
        """Have the kernel's blocked tasks and its CPUs' stacks written to the console: by init, or if it cannot run, by sysrq."""
        with contextlib.suppress(MonitorError, OSError, ConnectionEnded):
            self._control.send(f"DUMP {self._nonce}\n".encode())
            if self._answered("DUMPED"):
                return
            # One key only: QEMU 7.2's 8250 loses breaks that follow each other closely.
            self._emulator.monitor(1.0).execute("chardev-send-break", id="console")
            self._emulator.type_on_console(b"l")
            self._answered("DUMPED")

    def _answered(self, kind: str) -> bool:
        """Wait a second for init's answer."""
        deadline = time.monotonic() + 1.0
        with contextlib.suppress(TimeoutError):
            while (line := self._control.next_line(deadline)).kind != kind or line.nonce != self._nonce:
                if line.nonce == self._nonce:
                    self._take(line)
            return True
        return False


def _stream(path: Path, total: int, kept: int) -> Stream:
    """Read a stream's tail, and mark in its log what the guest left out between beginning and end."""
    data = path.read_bytes()
    if kept < total:
        gap = b"\n[bpfcompat: %d bytes left out here]\n" % (total - kept)
        data = data[:STREAM_KEPT] + gap + data[STREAM_KEPT:]
        path.write_bytes(data)
    return Stream(total, kept, data[-TAIL_BYTES:].decode(errors="replace").strip())

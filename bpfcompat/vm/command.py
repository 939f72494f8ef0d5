"""A command that runs in a guest, until it ends or is seen never to end."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path

from bpfcompat.dataclass import dataclass
from bpfcompat.guest import STREAM_KEPT
from bpfcompat.model import Ready
from bpfcompat.outcome import Classification, Counted, Outcome, OutcomeKind, Stream, Taint
from bpfcompat.system import processes
from bpfcompat.vm import share
from bpfcompat.vm.console import ConnectionEnded, Line, Streams
from bpfcompat.vm.emulator import Emulator
from bpfcompat.vm.outbox import DamagedError, Delivery
from bpfcompat.vm.pulse import Pulse
from bpfcompat.vm.qmp import MonitorError
from bpfcompat.vm.readying import Readying
from bpfcompat.vm.typed import Typed

TAIL_BYTES = 4096
_DRAIN_SECONDS = 30.0
"""So long nothing may be heard of a command's output once it has ended: a serial port carries 0.5 MB/s under emulation, at
most 1 MB is left for it where there is no outbox, and of what leaves by that the guest tells every 8 MiB."""


@dataclass(frozen=True)
class _End:
    """What the guest says when its command is over."""

    status: int
    nanoseconds: int
    max_rss_kib: int
    written: tuple[int, int]
    """Bytes that the command wrote to stdout and stderr."""
    sent: tuple[int, int]
    """Bytes of them that took the serial ports."""
    drained: bool
    boxed: int
    """Bytes in the outbox."""
    checksum: int


def _end(line: Line) -> _End:
    *numbers, checksum = line.fields
    status, nanoseconds, _, _, rss, out, out_sent, err, err_sent, drained, boxed = (int(text) for text in numbers)
    return _End(status, nanoseconds, rss, (out, err), (out_sent, err_sent), bool(drained), boxed, int(checksum, 16))


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
        self._delivered = False
        self._share = share.of(emulator.process_id)
        self.starved = ""
        """Of a command that ran into its limit: how this host kept it from running, if it did (`share.lack`)."""

    def finish(self, seconds: float, most: float, *, collects: bool = False) -> Outcome:
        """Wait for the command's end and return what happened; the evidence is complete when this returns.

        seconds: the command's limit; of one that does not end by itself, for each step once it is ready.
        most: seconds for all of it.
        collects: files are to come out.
        """
        outcome = self._wait_for_end(seconds, time.monotonic() + most)
        if self._streams.failure:
            return _no_verdict(f"The evidence is not whole: {self._streams.failure}.")
        if collects and not self._delivered and outcome.kind is not OutcomeKind.NO_VERDICT:
            return replace(outcome, notes=(*outcome.notes, self._why_nothing_was_collected()))
        return outcome

    def _wait_for_end(self, seconds: float, end: float) -> Outcome:
        deadline = min(end, time.monotonic() + (self._ready.within if self._ready else seconds))
        over = False
        try:
            while True:
                line = self._next_line(deadline)
                if line is None:
                    deadline = min(end, time.monotonic() + seconds)
                elif line.kind == "ENDED":
                    over, deadline = True, time.monotonic() + self._streams.patience(_DRAIN_SECONDS)
                elif line.kind == "END":
                    return self._ended(_end(line))
                elif line.kind == "FAIL":
                    return self._without_end(OutcomeKind.NO_VERDICT, f"The guest could not go on: {line.fields[0]}.")
                elif self._take(line):
                    deadline = min(end, time.monotonic() + seconds)
        except TimeoutError:
            if over:
                return self._stopped_with(
                    "The command ended, but then the guest was silent, and its output is not whole."
                )
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

    def _ended(self, end: _End) -> Outcome:
        if not self._streams.wait_for(*end.sent, self._streams.patience(_DRAIN_SECONDS)):
            came = [
                f"{name}: {self._streams.received(name)} of {n} bytes"
                for name, n in zip(("stdout", "stderr"), end.sent, strict=True)
            ]
            return self._stopped_with(f"The command's output did not arrive whole ({', '.join(came)}).")
        delivery = Delivery()
        if end.boxed and self._emulator.outbox:
            try:
                delivery = self._emulator.outbox.empty_into(self._folder, end.boxed, end.checksum)
            except (DamagedError, OSError) as error:
                return self._stopped_with(f"What the guest left in its outbox did not arrive whole: {error}.")
            self._delivered = True
        self._stop()
        notes = []
        if (self._streams.received("stdout"), self._streams.received("stderr")) != end.sent:
            notes.append("the command wrote to the serial ports of its own streams; the logs hold that, too")
        if not end.drained:
            notes.append("a process that could not be killed held the output open; its later output is lost")
        out, err = (
            _stream(self._folder / f"{name}.log", total, sent + len(rest), rest)
            for name, total, sent, rest in zip(
                ("stdout", "stderr"), end.written, end.sent, (delivery.stdout, delivery.stderr), strict=True
            )
        )
        return Outcome(
            OutcomeKind.ENDED, wait_status=end.status, command_seconds=end.nanoseconds / 1e9, max_rss_kib=end.max_rss_kib,
            taint=self._taint, readiness=self._readying.ended(end.nanoseconds / 1e9) if self._readying else None,
            counted=self._counted, stdout=out, stderr=err, collected=delivery.collected, notes=(*notes, *delivery.notes),
        )  # fmt: skip

    def _timed_out(self, seconds: float) -> Outcome:
        """Stop the command; a guest that lives then delivers what it kept of it, as after any other end."""
        self.starved = share.lack(self._share, share.of(self._emulator.process_id))
        why = self._readying.overlooked() if self._readying else ""
        kind = OutcomeKind.NO_VERDICT if why else OutcomeKind.TIMEOUT
        reason = why or f"The command was still running after {seconds:g} s."
        dumped = self._dump_tasks()
        # What was known before it is stopped: that ends what runs meanwhile, too.
        readiness = self._readying.readiness if self._readying else None
        end = self._stop_command() if dumped else None
        outcome = self._ended(end) if end else None
        if outcome is None or outcome.kind is not OutcomeKind.ENDED:
            return replace(self._without_end(kind, reason), readiness=readiness)
        return replace(
            outcome, kind=kind, reason=reason, wait_status=None, command_seconds=None, readiness=readiness,
            classification=Classification.HOST_FAILURE if why else None,
        )  # fmt: skip

    def _stop_command(self) -> _End | None:
        with contextlib.suppress(TimeoutError, ConnectionEnded):
            self._control.send(f"STOP {self._nonce}\n".encode())
            while True:
                line = self._control.next_line(time.monotonic() + _DRAIN_SECONDS)
                if line.nonce != self._nonce:
                    continue
                if line.kind in ("END", "STOPPED"):
                    return _end(line)
                self._take(line)
        return None

    def _why_nothing_was_collected(self) -> str:
        if not self._emulator.outbox:
            return "nothing was collected: this kernel cannot mount disks, by which files come out"
        return "nothing was collected: the guest did not live to hand it out, or could not write to its outbox"

    def _lost(self) -> Outcome:
        """Tell what ended the machine: the guest, which lets QEMU exit with 0, or somebody on this side."""
        code = self._emulator.exit_code()
        self._stop()
        if processes.interrupted():
            return _no_verdict("The run was interrupted.", Classification.INTERRUPTED)
        if self._streams.panic_seen and (code == 0 or self._pulse.killed):
            return self._without_end(OutcomeKind.PANIC, "The kernel panicked while the command ran.")
        if code == 0:
            return self._without_end(OutcomeKind.LOST, "The machine rebooted or powered off while the command ran.")
        reason = f"QEMU was ended from outside, or failed (status {code}), while the command ran. {self._emulator.said()}".strip()
        return _no_verdict(reason)

    def _stopped_with(self, reason: str) -> Outcome:
        self._stop()
        return _no_verdict(reason)

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

    def _dump_tasks(self) -> bool:
        """Have the kernel's blocked tasks and its CPUs' stacks written to the console: by init, or if it cannot run, by sysrq.

        Return whether it was init.
        """
        with contextlib.suppress(MonitorError, OSError, ConnectionEnded):
            self._control.send(f"DUMP {self._nonce}\n".encode())
            if self._answered("DUMPED"):
                return True
            # One key only: QEMU 7.2's 8250 loses breaks that follow each other closely.
            self._emulator.monitor(1.0).execute("chardev-send-break", id="console")
            self._emulator.type_on_console(b"l")
            return self._answered("DUMPED")
        return False

    def _answered(self, kind: str) -> bool:
        """Wait a second for init's answer."""
        deadline = time.monotonic() + 1.0
        with contextlib.suppress(TimeoutError):
            while (line := self._control.next_line(deadline)).kind != kind or line.nonce != self._nonce:
                if line.nonce == self._nonce:
                    self._take(line)
            return True
        return False


def _no_verdict(reason: str, classification: Classification = Classification.HOST_FAILURE) -> Outcome:
    return Outcome(OutcomeKind.NO_VERDICT, reason, classification)


def _stream(path: Path, total: int, kept: int, rest: bytes = b"") -> Stream:
    """Add to a stream's log what took another way, mark what the guest left out between beginning and end, read its tail."""
    data = path.read_bytes() + rest
    if kept < total:
        gap = b"\n[bpfcompat: %d bytes left out here]\n" % (total - kept)
        data = data[:STREAM_KEPT] + gap + data[STREAM_KEPT:]
    if rest or kept < total:
        path.write_bytes(data)
    return Stream(total, kept, data[-TAIL_BYTES:].decode(errors="replace").strip())

"""A guest from its first instruction to its last: QEMU started, driven over its ports, and ended."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import JOB_WINDOW, STREAM_KEPT
from bpfcompat.model import Check, Classification, Observed, Outcome, OutcomeKind, Payload, Stream
from bpfcompat.system import processes
from bpfcompat.vm import qemu
from bpfcompat.vm.console import ConnectionEnded, Control, Line, Streams
from bpfcompat.vm.qmp import Monitor, MonitorError

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
}
"""The same on every kernel; a check's `env:` comes on top, and nothing of the host's."""

TAIL_BYTES = 4096
_ALIVE_SECONDS = 2.0
_DRAIN_SECONDS = 30.0  # the serial port carries 0.5 MB/s under emulation, and at most 1 MB is left to carry


class Guest:
    """A running machine. A context manager: at its end the machine is gone, whatever happened."""

    def __init__(
        self, arguments: Callable[[Sequence[int], int], list[str]], folder: Path, console: bytes = b""
    ) -> None:
        """Start QEMU.

        arguments: (file descriptors of the serial ports, that of the monitor) -> QEMU's argument list.
        folder: where console.log, stdout.log, stderr.log and qemu.log are written.
        console: what console.log begins with, for a guest that has run before.
        Raises NoVerdict (HOST_FAILURE) if QEMU cannot be started.
        """
        self.folder = folder
        self.nonce = secrets.token_hex(16)
        # Connected pairs rather than sockets with names: QEMU inherits its ends, there is no folder to clean up, no
        # 108-byte limit, and when we are gone it reads end of file.
        pairs = [socket.socketpair() for _ in range(len(qemu.SERIAL_PORTS) + 1)]
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        self._sockets = ours
        try:
            for name, content in (("console", console), ("stdout", b""), ("stderr", b"")):
                (folder / f"{name}.log").write_bytes(content)
            self.arguments = arguments([end.fileno() for end in theirs[:-1]], theirs[-1].fileno())
            with (folder / "qemu.log").open("wb") as log:
                self._process = processes.start(
                    self.arguments,
                    pass_fds=[end.fileno() for end in theirs],
                    stdout=log,
                    stderr=log,
                    confined=True,
                )
        except (BpfcompatError, OSError) as error:
            for end in ours:
                end.close()
            raise NoVerdict(Classification.HOST_FAILURE, f"QEMU cannot be started: {error}") from error
        finally:
            for end in theirs:
                end.close()
        ports = dict(zip(qemu.SERIAL_PORTS, ours, strict=False))
        self._console, self._monitor_socket = ports["console"], ours[-1]
        self._control = Control(ports["control"])
        self.console_before = 0
        """Bytes of console.log that were there when the command began."""
        self._alive_check: threading.Timer | None = None
        self._killed_as_dead = False
        self._monitor: Monitor | None = None
        self._streams = Streams(ports, folder, self._check_alive)

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End QEMU at once; nothing in a guest is worth a clean shutdown."""
        if self._alive_check:
            self._alive_check.cancel()
        processes.stop(self._process, at_once=True)
        self._streams.join()
        if self._monitor:
            self._monitor.close()
        for end in self._sockets:
            end.close()

    @property
    def command_line(self) -> str:
        """QEMU's command line, ready to paste but for the inherited file descriptors."""
        return shlex.join(self.arguments)

    def monitor(self, seconds: float) -> Monitor:
        """Return the machine's monitor; raises MonitorError, which its commands do after so many seconds of silence."""
        if self._monitor is None:
            self._monitor = Monitor(self._monitor_socket, seconds)
        self._monitor_socket.settimeout(seconds)
        return self._monitor

    # ---- before the command ----

    def wait_ready(self, deadline: float) -> None:
        """Wait until the guest waits for a job; raises NoVerdict (BOOT_FAILURE, or HOST_FAILURE if QEMU itself failed)."""
        self._wait_for("READY", deadline)

    def settle(self, deadline: float) -> None:
        """Have a guest that waits for a job make itself ready to be saved; raises NoVerdict as `wait_ready` does."""
        with contextlib.suppress(ConnectionEnded):  # told better by what follows
            self._control.send(b"SETTLE\n")
        self._wait_for("SETTLED", deadline)

    def _wait_for(self, kind: str, deadline: float) -> None:
        try:
            line = self._control.next_line(deadline)
        except TimeoutError as error:
            raise NoVerdict(
                Classification.BOOT_FAILURE, "the guest did not come up in time.", f"see {self.folder / 'console.log'}"
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
        try:
            self._control.send(f"JOB {self.nonce} {len(blob)} {zlib.crc32(blob):08x}\n".encode() + blob[:JOB_WINDOW])
            for start in range(JOB_WINDOW, len(blob), JOB_WINDOW):
                self._expect("GOT", deadline)
                self._control.send(blob[start : start + JOB_WINDOW])
            line = self._expect("BEGIN", deadline)
        except TimeoutError as error:
            raise NoVerdict(
                Classification.BOOT_FAILURE,
                "the guest came up, but took no job in time.",
                f"see {self.folder / 'console.log'}",
            ) from error
        except ConnectionEnded as error:
            raise self._gone("before the command began") from error
        self.console_before = (self.folder / "console.log").stat().st_size
        release, machine, version = line.fields
        return Observed(release, machine, version)

    def _expect(self, kind: str, deadline: float) -> Line:
        while True:
            line = self._control.next_line(deadline)
            if line.nonce != self.nonce:
                continue
            if line.kind == "FAIL":
                raise NoVerdict(
                    Classification.STAGING_FAILURE, f"the guest could not set up the command: {line.fields[0]}."
                )
            if line.kind == kind:
                return line

    def _gone(self, when: str) -> NoVerdict:
        code = self._wait_for_exit()
        self._streams.join()
        if processes.interrupted():
            return NoVerdict(Classification.INTERRUPTED, "The run was interrupted.")
        if code or self.said():
            return NoVerdict(Classification.HOST_FAILURE, f"QEMU ended {when} (status {code}). {self.said()}".strip())
        panicked = " The kernel panicked." if self._streams.panic_seen else ""
        return NoVerdict(
            Classification.BOOT_FAILURE, f"the machine stopped {when}.{panicked}", f"see {self.folder / 'console.log'}"
        )

    # ---- the command ----

    def finish(self, seconds: float) -> Outcome:
        """Wait for the command's end and return what happened; the evidence is complete when this returns.

        seconds: the command's limit.
        """
        outcome = self._wait_for_end(seconds)
        if self._streams.failure:
            return Outcome(
                OutcomeKind.NO_VERDICT,
                f"The evidence is not whole: {self._streams.failure}.",
                Classification.HOST_FAILURE,
            )
        return outcome

    def _wait_for_end(self, seconds: float) -> Outcome:
        deadline = time.monotonic() + seconds
        try:
            while True:
                line = self._control.next_line(deadline)
                if line.nonce != self.nonce:
                    continue
                if line.kind == "ENDED":
                    deadline = time.monotonic() + _DRAIN_SECONDS
                elif line.kind == "PONG" and self._alive_check:
                    self._alive_check.cancel()
                elif line.kind == "END":
                    return self._ended(line)
        except TimeoutError:
            self._dump_tasks()
            return self._without_end(OutcomeKind.TIMEOUT, f"The command was still running after {seconds:g} s.")
        except ConnectionEnded:
            return self._lost()

    def _ended(self, line: Line) -> Outcome:
        status, nanoseconds, _, _, rss, out, out_sent, err, err_sent, drained = (int(text) for text in line.fields)
        if not self._streams.wait_for(out_sent, err_sent, _DRAIN_SECONDS):
            came = [
                f"{name}: {self._streams.received(name)} of {n} bytes"
                for name, n in (("stdout", out_sent), ("stderr", err_sent))
            ]
            reason = f"The command's output did not arrive whole ({', '.join(came)})."
            return Outcome(OutcomeKind.NO_VERDICT, reason, Classification.HOST_FAILURE)
        self.stop()
        notes = []
        if (self._streams.received("stdout"), self._streams.received("stderr")) != (out_sent, err_sent):
            notes.append("the command wrote to the serial ports of its own streams; the logs hold that, too")
        if not drained:
            notes.append("a process that could not be killed held the output open; its later output is lost")
        return Outcome(
            OutcomeKind.ENDED, wait_status=status, command_seconds=nanoseconds / 1e9, max_rss_kib=rss, notes=tuple(notes),
            stdout=_stream(self.folder / "stdout.log", out, out_sent), stderr=_stream(self.folder / "stderr.log", err, err_sent),
        )  # fmt: skip

    def _lost(self) -> Outcome:
        """Tell what ended the machine: the guest, which lets QEMU exit with 0, or somebody on this side."""
        code = self._wait_for_exit()
        self.stop()
        if processes.interrupted():
            return Outcome(OutcomeKind.NO_VERDICT, "The run was interrupted.", Classification.INTERRUPTED)
        if self._streams.panic_seen and (code == 0 or self._killed_as_dead):
            return self._without_end(OutcomeKind.PANIC, "The kernel panicked while the command ran.")
        if code == 0:
            return self._without_end(OutcomeKind.LOST, "The machine rebooted or powered off while the command ran.")
        reason = f"QEMU was ended from outside, or failed (status {code}), while the command ran. {self.said()}".strip()
        return Outcome(OutcomeKind.NO_VERDICT, reason, Classification.HOST_FAILURE)

    def _wait_for_exit(self) -> int:
        """Return QEMU's own exit code: its ports close some milliseconds before it is gone."""
        processes.ended(self._process, _ALIVE_SECONDS)
        return processes.stop(self._process, at_once=True)

    def said(self) -> str:
        """Return the last line that QEMU itself printed."""
        lines = (self.folder / "qemu.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _without_end(self, kind: OutcomeKind, reason: str) -> Outcome:
        self.stop()
        received = [self._streams.received(name) for name in ("stdout", "stderr")]
        return Outcome(
            kind, reason,
            stdout=_stream(self.folder / "stdout.log", received[0], received[0]),
            stderr=_stream(self.folder / "stderr.log", received[1], received[1]),
        )  # fmt: skip

    def _check_alive(self) -> None:
        """Called by the thread that reads the console when it shows a panic.

        A panicked kernel resets the machine (panic=-1), unless the command has set kernel.panic to 0: then nothing
        would ever happen again. A guest that only printed the words answers a PING.
        """
        # The clock is there before the question: the answer, which another thread reads, stops it.
        self._alive_check = threading.Timer(_ALIVE_SECONDS, self._kill)
        self._alive_check.daemon = True
        self._alive_check.start()
        with contextlib.suppress(ConnectionEnded):
            self._control.send(f"PING {self.nonce}\n".encode())

    def _kill(self) -> None:
        self._killed_as_dead = True
        with contextlib.suppress(ProcessLookupError, subprocess.SubprocessError):
            self._process.kill()

    def _dump_tasks(self) -> None:
        """Have the kernel's blocked tasks and its CPUs' stacks written to the console: by init, or if it cannot run, by sysrq."""
        with contextlib.suppress(MonitorError, OSError, ConnectionEnded):
            self._control.send(f"DUMP {self.nonce}\n".encode())
            if self._answered("DUMPED"):
                return
            # One key only: QEMU 7.2's 8250 loses breaks that follow each other closely.
            self.monitor(1.0).execute("chardev-send-break", id="console")
            self._console.sendall(b"l")
            self._answered("DUMPED")

    def _answered(self, kind: str) -> bool:
        """Wait a second for init's answer."""
        deadline = time.monotonic() + 1.0
        with contextlib.suppress(TimeoutError):
            while (line := self._control.next_line(deadline)).kind != kind or line.nonce != self.nonce:
                pass
            return True
        return False


def _blob(check: Check, payload: Payload) -> bytes:
    """Return the job as init.c reads it: NUL-terminated names and values."""
    now = time.time_ns()
    parts = [("command", check.command), ("time", f"{now // 10**9}.{now % 10**9:09}"), ("seed", secrets.token_hex(64))]
    parts += [("env", f"{name}={value}") for name, value in {**ENVIRONMENT, **dict(check.env)}.items()]
    if not payload.empty:
        parts.append(("payload", "yes"))
    parts += [(name, file.path) for name, file in (("binary", payload.binary), ("artifact", payload.artifact)) if file]
    return b"".join(text.encode(errors="surrogateescape") + b"\0" for part in parts for text in part)


def _stream(path: Path, total: int, kept: int) -> Stream:
    """Read a stream's tail, and mark in its log what the guest left out between beginning and end."""
    data = path.read_bytes()
    if kept < total:
        gap = b"\n[bpfcompat: %d bytes left out here]\n" % (total - kept)
        data = data[:STREAM_KEPT] + gap + data[STREAM_KEPT:]
        path.write_bytes(data)
    return Stream(total, kept, data[-TAIL_BYTES:].decode(errors="replace").strip())

"""QEMU as a process: started with our ends of its ports, asked, and ended."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.outcome import Classification
from bpfcompat.system import processes
from bpfcompat.vm import qemu
from bpfcompat.vm.outbox import Outbox
from bpfcompat.vm.qmp import Command, Monitor

if TYPE_CHECKING:
    from bpfcompat.vm.console import Control, Live, Streams

ALIVE_SECONDS = 2.0
"""So long a machine may be silent, or a QEMU whose ports are closed be on its way out."""


class Emulator:
    """A QEMU process, its ports and its monitor."""

    def __init__(
        self, machine: qemu.Machine, disk: Path, folder: Path, memory: qemu.Memory | None = None, console: bytes = b""
    ) -> None:
        """Start QEMU.

        disk: the payload's image.
        folder: where console.log, stdout.log, stderr.log and qemu.log are written.
        memory: for a machine that is saved, or restored.
        console: what console.log begins with, for a guest that has run before.
        Raises NoVerdict (HOST_FAILURE) if QEMU cannot be started.
        """
        self.folder = folder
        # Connected pairs rather than sockets with names: QEMU inherits its ends, there is no folder to clean up, no
        # 108-byte limit, and when we are gone it reads end of file.
        pairs = [socket.socketpair() for _ in range(len(qemu.SERIAL_PORTS) + 1)]
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        self._sockets = ours
        self.outbox: Outbox | None = None
        try:
            self.outbox = Outbox(folder) if machine.has_disks else None
            outbox = self.outbox.fileno() if self.outbox else None
            for name, content in (("console", console), ("stdout", b""), ("stderr", b"")):
                (folder / f"{name}.log").write_bytes(content)
            ends = [end.fileno() for end in theirs]
            self._arguments = qemu.argv(machine, ends[:-1], ends[-1], disk, memory, outbox)
            with (folder / "qemu.log").open("wb") as log:
                inherited = ends if outbox is None else [*ends, outbox]
                self._process = processes.start(
                    self._arguments, pass_fds=inherited, stdout=log, stderr=log, confined=True
                )
        except (BpfcompatError, OSError) as error:
            for end in ours:
                end.close()
            if self.outbox:
                self.outbox.close()
            raise NoVerdict(Classification.HOST_FAILURE, f"QEMU cannot be started: {error}") from error
        finally:
            for end in theirs:
                end.close()
        self._ports = dict(zip(qemu.SERIAL_PORTS, ours, strict=False))
        self.control: Control
        self.streams: Streams | None = None
        self._monitor: Monitor | None = None

    def move(self, folder: Path) -> None:
        """Have all logs in another folder of the same filesystem; nobody reads the streams yet."""
        for name in ("console.log", "stdout.log", "stderr.log", "qemu.log"):
            (self.folder / name).replace(folder / name)
        self.folder = folder

    def read_streams(self, on_panic: Callable[[], None], live: Live | None = None) -> Streams:
        """Begin to read the console and the command's streams into their files, and the control lines.

        on_panic: called, by the thread that reads, when the console shows a panic.
        live: what takes the command's streams instead.
        """
        from bpfcompat.vm.console import Control, Streams  # with it comes pexpect

        self.control = Control(self._ports["control"])
        self.streams = Streams(self._ports, self.folder, on_panic, live)
        return self.streams

    @property
    def process_id(self) -> int:
        """The process that is the machine."""
        return self._process.pid

    @property
    def command_line(self) -> str:
        """QEMU's command line, ready to paste but for the inherited file descriptors."""
        import shlex

        return shlex.join(self._arguments)

    def type_on_console(self, key: bytes) -> None:
        """Send a byte to the guest's console; raises OSError."""
        self._ports["console"].sendall(key)

    def monitor(self, seconds: float, first: Sequence[Command] = (), descriptor: int | None = None) -> Monitor:
        """Return the machine's monitor; raises MonitorError, which its commands do after so many seconds of silence.

        The other arguments are those of `Monitor`, for whoever asks for it first.
        """
        if self._monitor is None:
            self._monitor = Monitor(self._sockets[-1], seconds, first, descriptor)
        self._sockets[-1].settimeout(seconds)
        return self._monitor

    def said(self) -> str:
        """Return the last line that QEMU itself printed."""
        lines = (self.folder / "qemu.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def exit_code(self) -> int:
        """Return QEMU's own exit code, once its ports are closed: that is some milliseconds before it is gone."""
        processes.ended(self._process, ALIVE_SECONDS)
        return processes.stop(self._process, at_once=True)

    def kill(self) -> None:
        """End QEMU, whatever thread calls; the ports then read end of file."""
        with contextlib.suppress(ProcessLookupError, subprocess.SubprocessError):
            self._process.kill()

    def stop(self) -> None:
        """End QEMU at once and close its ports; nothing in a guest is worth a clean shutdown."""
        processes.stop(self._process, at_once=True)
        if self.streams:
            self.streams.join()
        if self._monitor:
            self._monitor.close()
        for end in self._sockets:
            end.close()
        if self.outbox:
            self.outbox.close()

"""QEMU's command line, as a pure function of the machine. Nothing else knows QEMU's options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bpfcompat.dataclass import dataclass
from bpfcompat.vm.arch import BOARDS, Board

SERIAL_PORTS = ("console", "control", "stdout", "stderr")
"""The channels between a guest and its host; a board (arch.py) has a port for each."""


@dataclass(frozen=True)
class Machine:
    """Everything about a guest that shapes how it boots."""

    binary: str
    accelerator: str
    memory: int
    """MiB."""
    cpus: int
    image: Path
    initramfs: Path
    cmdline: str = ""
    """What the profile adds to the kernel command line."""
    disks: tuple[tuple[str, Path], ...] = ()
    """Read-only disks beside the payload: serial number, by which init finds it, and image."""
    has_disks: bool = True
    """If not, the payload is in the initramfs, too."""
    board: Board = BOARDS["amd64"]
    gdb: Path | None = None
    """A socket at which the machine waits for a debugger before its first instruction."""

    @property
    def kernel_command_line(self) -> str:
        """The whole command line, as the guest reads it in /proc/cmdline."""
        # panic=-1 with -no-reboot ends QEMU the moment the kernel panics.
        # The crypto API's tests of itself take 0.2 s (6.1) to 0.6 s (7.3) of an emulated boot, and change nothing after it.
        parts = [f"console={self.board.console}", "panic=-1", "quiet", "cryptomgr.notests"]
        if self.accelerator == "tcg":
            parts += self.board.emulated
        return " ".join([*parts, *self.cmdline.split()])


@dataclass(frozen=True)
class Memory:
    """A guest's memory as a file: written to by the machine that is to be saved, or the start of a restored one's own."""

    path: Path
    saving: bool


def argv(
    machine: Machine,
    sockets: Sequence[int],
    monitor: int,
    payload: Path,
    memory: Memory | None = None,
    outbox: int | None = None,
) -> list[str]:
    """Return QEMU's argument list.

    sockets: file descriptors of connected sockets, one for each of SERIAL_PORTS.
    monitor: the same for QMP.
    payload: the read-only disk image.
    memory: for a machine that is saved, or restored; it then waits for its state.
    outbox: a file descriptor of the disk that the guest may write to; None for a guest without disks.
    """
    options = [
        machine.binary, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        # So that SeaBIOS leaves the disks alone, from which nothing boots. With four it keeps more memory for them than QEMU
        # counts with, and the end of the initramfs lies in it (QEMU 7.2, 512 MiB): a machine that was stopped and goes on
        # before the kernel has taken the disks over, as under gdb, writes there into the initramfs.
        "-boot", "strict=on",
        "-M", machine.board.machine + (",memory-backend=memory" if memory else ""), "-m", f"{machine.memory}M",
        *_processors(machine),
        "-kernel", str(machine.image), "-initrd", str(machine.initramfs), "-append", machine.kernel_command_line,
        "-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control",
    ]  # fmt: skip
    for name, number in zip(SERIAL_PORTS, sockets, strict=True):
        options += ["-chardev", f"socket,id={name},fd={number}"]
    options += machine.board.serial
    for name, image in (("payload", payload), *machine.disks) if machine.has_disks else ():
        options += ["-drive", f"if=none,id={name},format=raw,readonly=on,file={_value(image)}"]
        options += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
    if machine.gdb:
        debugger = f"socket,id=gdb,path={_value(machine.gdb)},server=on,wait=off"
        options += ["-chardev", debugger, "-gdb", "chardev:gdb", "-S"]
    if outbox is not None:
        # A guest that is told of a full disk of the host's sends less; a paused one would seem to hang.
        # By its path, because QEMU opens it first to read, then to write.
        drive = f"if=none,id=outbox,format=raw,cache=unsafe,werror=report,file=/proc/self/fd/{outbox}"
        options += ["-drive", drive]
        options += ["-device", "virtio-blk-pci,drive=outbox,serial=outbox"]
    return options + (_memory(machine, memory) if memory else [])


def _memory(machine: Machine, memory: Memory) -> list[str]:
    # Memory that is shared with its file is left out of the saved state; what a restored machine writes stays its own.
    share = "on" if memory.saving else "off"
    backend = f"memory-backend-file,id=memory,size={machine.memory}M,mem-path={_value(memory.path)},share={share}"
    return ["-object", backend, *([] if memory.saving else ["-incoming", "defer"])]


def _value(path: Path) -> str:
    """A comma ends a value in QEMU's option syntax; doubled, it stands for itself."""
    return str(path).replace(",", ",,")


def _processors(machine: Machine) -> list[str]:
    if machine.accelerator == "tcg":
        # With threads of their own, emulated CPUs race with the kernel's code patching: 3 panics in 240 boots of 7.3
        # (QEMU 7.2, 2 CPUs, "Oops: int3"), none in 150 with one thread. A second -accel would be silently ignored.
        return ["-cpu", machine.board.processor, "-accel", "tcg,thread=single", "-smp", str(machine.cpus)]
    return ["-cpu", "max", "-accel", machine.accelerator, "-smp", str(machine.cpus)]

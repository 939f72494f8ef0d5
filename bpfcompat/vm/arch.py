"""What QEMU makes a machine of, for each architecture: the one table of boards. Nothing else in this room asks which it is."""

from __future__ import annotations

from bpfcompat.dataclass import dataclass


@dataclass(frozen=True)
class Board:
    """A machine of QEMU's, and how a kernel finds its way around in it."""

    program: str
    """The emulator."""
    machine: str
    """The value of -M."""
    processor: str
    """The value of -cpu under software emulation; KVM hands on the host's own."""
    console: str
    """What the kernel calls the port of its console."""
    serial: tuple[str, ...]
    """Options that make the four ports of the channels console, control, stdout and stderr (qemu.SERIAL_PORTS).

    The last three are ttyS1, ttyS2 and ttyS3 on every board: init knows them by these names.
    """
    emulated: tuple[str, ...] = ()
    """What the kernel command line has under software emulation."""


BOARDS = {
    "amd64": Board(
        program="qemu-system-x86_64",
        # Without what no guest here needs; it saves 10 ms of a restored run (QEMU 7.2).
        machine="q35,sata=off,smbus=off,smm=off,vmport=off",
        processor="max",
        console="ttyS0",
        # An x86 PC has exactly these four.
        serial=tuple(word for name in ("console", "control", "stdout", "stderr") for word in ("-serial", f"chardev:{name}")),
        # Emulated timers can miss the kernel's check of the IO-APIC ("IO-APIC + timer doesn't work"); KVM guests skip it by
        # themselves.
        emulated=("no_timer_check",),
    ),
    "arm64": Board(
        program="qemu-system-aarch64",
        machine="virt,gic-version=3",
        # The plainest that Debian's kernels know well; docs/architectures.md has what others cost.
        processor="cortex-a72",
        console="ttyAMA0",
        # The board has one port, a PL011. Four more stand on the PCI bus, of which ttyS0 is not used.
        serial=(
            "-serial", "chardev:console", "-chardev", "null,id=spare",
            "-device", "pci-serial-4x,chardev1=spare,chardev2=control,chardev3=stdout,chardev4=stderr",
        ),
    ),
}  # fmt: skip

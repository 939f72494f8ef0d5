"""What a guest needs of its kernel: seen in its configuration, or in the image itself, and not by a boot that hangs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bpfcompat.architecture import Architecture
from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import facts, image
from bpfcompat.model import Kernel
from bpfcompat.outcome import Classification

_OPTIONS = {
    "CONFIG_BLK_DEV_INITRD": "an initramfs",
    "CONFIG_DEVTMPFS": "/dev made by the kernel",
    "CONFIG_TMPFS": "tmpfs",
    "CONFIG_PROC_FS": "/proc",
    "CONFIG_SYSFS": "/sys",
    "CONFIG_BINFMT_ELF": "ELF programs",
    "CONFIG_BINFMT_SCRIPT": "scripts",
}
_PORTS = 4
_IN_IMAGE = {b"rootfs image": "CONFIG_BLK_DEV_INITRD"}
"""What a kernel with an option has in its data, whatever its release (5.10 to 7.3)."""


def refuse_unfit(kernel: bytes, config: Path | None, source: str, guest: Architecture) -> None:
    """Raise NoVerdict (KERNEL_UNAVAILABLE) for a kernel that no guest can run on, naming the option that it lacks.

    kernel: the image; what is packed inside one cannot be looked at.
    guest: the architecture of the kernel.
    """
    options, wanted, marks = facts.options(config), _OPTIONS | dict(guest.options), _IN_IMAGE | dict(guest.marks)
    lacking = [name for name in wanted if options and options.get(name) != "y"]
    if not options and image.is_plain(kernel):
        lacking = [name for mark, name in marks.items() if mark not in kernel]
    if lacking:
        what = ", ".join(f"{wanted[name]} ({name}=y)" for name in lacking)
        raise _unfit(f"{source} is built without what a guest needs: {what}.", "build it with that")
    ports = options.get("CONFIG_SERIAL_8250_RUNTIME_UARTS", str(_PORTS))
    if ports.isdigit() and int(ports) < _PORTS:
        raise _unfit(
            f"{source} uses {ports} serial ports, and a guest needs {_PORTS}.",
            f"write `cmdline: 8250.nr_uarts={_PORTS}` in the profile, or build it with CONFIG_SERIAL_8250_RUNTIME_UARTS={_PORTS}",
        )


def has_disks(kernel: bytes, modules: Sequence[str]) -> bool:
    """Tell whether a kernel can mount a guest's disks: what is neither a module of its own nor in its image is not there.

    modules: names of those that came with it and that the guest needs.
    """
    if not image.is_plain(kernel):
        return True  # what is packed in an image of a kind that nobody ships cannot be looked at; a boot will tell
    return all(name.encode() in kernel or name in modules for name in ("virtio_blk", "ext4"))


def without_modules(kernel: Kernel) -> str:
    """Return the note on a kernel that came without what disks need, naming the package that has it; empty if none is to be told."""
    kind = kernel.source.partition(":")[0]
    packages = {
        "rpm": "kernel-modules-core (before RHEL 9.2 and Fedora 38: kernel-modules; of UEK: kernel-uek-modules-core or kernel-uek-modules)",
        "deb": f"linux-modules-{kernel.release}",
    }
    if kind in packages and not kernel.has_disks:
        return f"this kernel came without virtio_blk or ext4, which are in the package {packages[kind]}: name it in `modules:`"
    if kernel.modules_disk is None:
        return "this kernel came without its modules"
    return "" if kernel.has_disks else "this kernel came without virtio_blk or ext4 among its modules"


def _unfit(message: str, hint: str) -> NoVerdict:
    return NoVerdict(Classification.KERNEL_UNAVAILABLE, message, hint)

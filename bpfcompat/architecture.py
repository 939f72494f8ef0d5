"""The architectures that guests are of, and what each is called by whoever has to do with it.

What QEMU makes of one stands in vm/arch.py; between them these two tables hold all that is different between architectures.
"""

from __future__ import annotations

import functools
import os
import re

from bpfcompat.dataclass import dataclass


@dataclass(frozen=True)
class Architecture:
    """One architecture by its names."""

    name: str
    """As Debian, Go and container images have it: amd64."""
    uname: str
    """As `uname -m` says it: x86_64."""
    elf: str
    """The machine of its ELF files, as pyelftools names it: EM_X86_64."""
    elf_number: int
    """The same as the two bytes in the file."""
    triplet: str
    """As compilers and the folders of libraries have it: x86_64-linux-gnu."""
    linker: str
    """Where the dynamic linker of the C library is, below the root."""
    linkers: str
    """A regular expression for the names of its dynamic linkers, glibc's and musl's."""
    built_images: tuple[str, ...]
    """Where a built kernel tree has its image, the best first."""
    rust: str
    """cargo's target for static programs."""
    system_calls: str
    """What the kernel's functions for system calls begin with."""
    registers: int
    """Arguments of a function that stand in registers: a trampoline carries no more before Linux 6.6 (amd64), 6.16 (arm64)."""
    options: tuple[tuple[str, str], ...]
    """What its kernels must have built in for our machines, beside what all must, each with what it is."""
    marks: tuple[tuple[bytes, str], ...]
    """What a kernel with such an option has in its data, whatever its release (5.10 to 7.3), and the option."""


AMD64 = Architecture(
    name="amd64", uname="x86_64", elf="EM_X86_64", elf_number=62, triplet="x86_64-linux-gnu",
    linker="lib64/ld-linux-x86-64.so.2", linkers=r"ld-(?:linux|musl)-x86[-_]64\.so\.\d+",
    built_images=("arch/x86/boot/bzImage",), rust="x86_64-unknown-linux-musl", system_calls="__x64_sys_", registers=6,
    options=(("CONFIG_SERIAL_8250_CONSOLE", "a console on an 8250 serial port"),),
    marks=((b"serial8250", "CONFIG_SERIAL_8250_CONSOLE"),),
)  # fmt: skip
ARM64 = Architecture(
    name="arm64", uname="aarch64", elf="EM_AARCH64", elf_number=183, triplet="aarch64-linux-gnu",
    linker="lib/ld-linux-aarch64.so.1", linkers=r"ld-(?:linux|musl)-aarch64\.so\.\d+",
    built_images=("arch/arm64/boot/Image", "arch/arm64/boot/Image.gz", "arch/arm64/boot/vmlinuz.efi"),
    rust="aarch64-unknown-linux-musl", system_calls="__arm64_sys_", registers=8,
    options=(
        ("CONFIG_SERIAL_AMBA_PL011_CONSOLE", "a console on a PL011 serial port"),
        ("CONFIG_SERIAL_8250_PCI", "8250 serial ports on the PCI bus"),
        ("CONFIG_PCI_HOST_GENERIC", "a generic PCI bus"),
    ),
    marks=((b"uart-pl011", "CONFIG_SERIAL_AMBA_PL011_CONSOLE"), (b"serial8250", "CONFIG_SERIAL_8250_PCI")),
)  # fmt: skip
ALL = {one.name: one for one in (AMD64, ARM64)}


@functools.cache
def host() -> Architecture:
    """Return this machine's; that of x86-64 PCs where nobody has told us of it."""
    return next((one for one in ALL.values() if one.uname == os.uname().machine), AMD64)


def of(name: str) -> Architecture:
    """Return an architecture by its name; this machine's where there is none."""
    return ALL[name] if name else host()


def named(package: str) -> Architecture | None:
    """Return the architecture that the name of a kernel says, as Debian's packages do: linux-image-cloud-arm64."""
    found = re.search(rf"-({'|'.join(ALL)})(?![a-z0-9])", package)
    return ALL[found[1]] if found else None


def renamed(function: str, guest: Architecture) -> str:
    """Return what an architecture calls the function of a system call that is named as another one does; empty for any other."""
    others = [one.system_calls for one in ALL.values() if one is not guest]
    prefix = next((one for one in others if function.startswith(one)), "")
    return guest.system_calls + function.removeprefix(prefix) if prefix else ""


def of_elf(number: int) -> Architecture | None:
    """Return the architecture of ELF files with this machine; None for one that no guest is of."""
    return next((one for one in ALL.values() if one.elf_number == number), None)

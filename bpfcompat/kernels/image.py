"""Kernel images as files: which ones can be booted, and the ELF kernel inside a bzImage."""

from __future__ import annotations

import bz2
import io
import lzma
import re
import zlib
from pathlib import Path

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import kit
from bpfcompat.model import Classification
from bpfcompat.system import elf, processes

_ELF = b"\x7fELF"
_MACHINE_X86_64 = b"\x3e\x00"
_NOTE_PHYS32_ENTRY = 18  # XEN_ELFNOTE_PHYS32_ENTRY in include/xen/interface/elfnote.h


def refuse_foreign(image: Path, source: str) -> None:
    """Raise NoVerdict (KERNEL_UNAVAILABLE) for a file that is no x86-64 Linux kernel.

    source: how the user named it.
    """
    with image.open("rb") as file:
        head = file.read(0x206)
    if _is_bzimage(head) or (head[:4] == _ELF and head[18:20] == _MACHINE_X86_64):
        return
    raise NoVerdict(
        Classification.KERNEL_UNAVAILABLE,
        f"{source} is not an x86-64 Linux kernel image.",
        "name the bzImage or vmlinux of a build, for instance path:arch/x86/boot/bzImage",
    )


def version(image: Path) -> str:
    """Return the release that an image names in its header or banner, else its file's name."""
    return release(image.read_bytes()) or image.name


def release(kernel: bytes) -> str:
    """Return what `uname -r` will say, by the banner in an ELF kernel or the header of a bzImage; empty if neither tells."""
    if _is_bzimage(kernel):
        at = int.from_bytes(kernel[0x20E:0x210], "little") + 0x200
        return kernel[at : at + 256].split(b"\0")[0].split(b" ")[0].decode(errors="replace")
    banner = re.search(rb"Linux version ([0-9][!-~]{0,63}) ", kernel)
    return banner[1].decode() if banner else ""


def unpacked(data: bytes, folder: Path) -> bytes:
    """Return the ELF kernel inside a bzImage if QEMU can start it, else the image as it is.

    The host unpacks it once, in 0.2 s; an emulated guest would need 0.2 s (6.1) to 0.8 s (7.3) for it at every boot,
    and leave the packed image in its memory.

    folder: for temporary files.
    Raises NoVerdict (KERNEL_UNAVAILABLE) if the program that unpacks it is not installed.
    """
    if not _is_bzimage(data):
        return data
    inner = _decompressed(_payload(data), folder)
    return inner if inner is not None and _has_pvh_entry(inner) else data


def _is_bzimage(head: bytes) -> bool:
    return head[0x202:0x206] == b"HdrS"


def _payload(data: bytes) -> bytes:
    """Return the compressed kernel: payload_offset and payload_length in Documentation/arch/x86/boot.rst."""
    start = (1 + (data[0x1F1] or 4)) * 512 + int.from_bytes(data[0x248:0x24C], "little")
    return data[start : start + int.from_bytes(data[0x24C:0x250], "little")]


def _decompressed(payload: bytes, folder: Path) -> bytes | None:
    """Return the content, or None for a format that nobody ships; its size stands behind all but gzip's data."""
    try:
        if payload[:2] == b"\x1f\x8b":
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(payload)
        if payload[:6] == b"\xfd7zXZ\0":
            return lzma.LZMADecompressor().decompress(payload)
        if payload[:3] == b"BZh":
            return bz2.BZ2Decompressor().decompress(payload)
    except (zlib.error, lzma.LZMAError, OSError):
        return None
    for program, magic in (("lz4", b"\x02\x21\x4c\x18"), ("zstd", b"\x28\xb5\x2f\xfd")):
        if payload[:4] == magic:
            packed = folder / f"kernel.{program}"
            packed.write_bytes(payload[:-4])
            try:
                return processes.check(
                    [*kit.tool(f"/usr/bin/{program}"), "-dcq", str(packed)], doing="unpacking the kernel"
                )
            except BpfcompatError as error:
                raise NoVerdict(Classification.KERNEL_UNAVAILABLE, error.message, error.hint) from error
            finally:
                packed.unlink()
    return None


def _has_pvh_entry(kernel: bytes) -> bool:
    """Tell whether QEMU can enter an ELF kernel, which it does by the Xen note of kernels built with CONFIG_PVH."""
    try:
        with elf.opened(io.BytesIO(kernel)) as file:
            return any(
                note["n_name"] == "Xen" and note["n_type"] == _NOTE_PHYS32_ENTRY
                for segment in file.iter_segments("PT_NOTE")
                for note in segment.iter_notes()
            )
    except elf.DamagedElf:
        return False

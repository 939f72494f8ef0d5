"""Kernel images as files: which ones can be booted, and the kernel inside of what a distribution ships."""

from __future__ import annotations

import bz2
import io
import lzma
import re
import zlib
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import AMD64, ARM64, Architecture
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import kit
from bpfcompat.outcome import Classification
from bpfcompat.system import elf, processes

_ELF = b"\x7fELF"
_ZSTD = b"\x28\xb5\x2f\xfd"
_NOTE_PHYS32_ENTRY = 18  # XEN_ELFNOTE_PHYS32_ENTRY in include/xen/interface/elfnote.h
_HEAD = 0x1000
_PE_MACHINES = {0x8664: AMD64, 0xAA64: ARM64}
"""What the header of an EFI program calls an architecture."""


def refuse_foreign(image: Path, source: str, guest: Architecture) -> None:
    """Raise NoVerdict (KERNEL_UNAVAILABLE) for a file that is no Linux kernel of an architecture.

    source: how the user named it.
    """
    with image.open("rb") as file:
        found = _architecture(file.read(_HEAD))
    if found is guest:
        return
    if found:
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"{source} is a kernel for {found.name}, and the profile is of {guest.name}.",
            f"write `arch: {found.name}` in the profile",
        )
    raise NoVerdict(
        Classification.KERNEL_UNAVAILABLE,
        f"{source} is not a Linux kernel image.",
        f"name what a build makes, for instance path:{guest.built_images[0]}",
    )


def _architecture(head: bytes) -> Architecture | None:
    """Return the architecture of an image by how it begins; None for what is no kernel.

    Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst, drivers/firmware/efi/libstub/zboot-header.S.
    """
    if head[:2] == b"\x1f\x8b":  # Image.gz, which only arm64 has
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _HEAD)
        except zlib.error:
            return None
    if _is_bzimage(head):
        return AMD64
    if head[:4] == _ELF:
        return architecture.of_elf(int.from_bytes(head[18:20], "little"))
    if _is_zboot(head):
        start = int.from_bytes(head[0x3C:0x40], "little")
        return _PE_MACHINES.get(int.from_bytes(head[start + 4 : start + 6], "little"))
    # What is in Image.zst is looked at when it is unpacked.
    return ARM64 if _is_plain_arm64(head) or head[:4] == _ZSTD else None


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


def is_plain(kernel: bytes) -> bool:
    """Tell whether an image is the kernel itself, not packed: its data can be looked at."""
    return kernel[:4] == _ELF or _is_plain_arm64(kernel)


def unpacked(data: bytes, folder: Path) -> bytes:
    """Return the kernel inside an image if QEMU can start it, else the image as it is.

    The host unpacks it once, in 0.2 s; an emulated guest would need 0.2 s (6.1) to 0.8 s (7.3) for it at every boot,
    and leave the packed image in its memory.

    folder: for temporary files.
    Raises NoVerdict (KERNEL_UNAVAILABLE) if the program that unpacks it is not installed, or an EFI image holds no kernel.
    """
    if _is_bzimage(data):
        inner = _decompressed(_payload(data), folder)
        return inner if inner is not None and _has_pvh_entry(inner) else data
    if is_plain(data):
        return data
    packed = data
    if _is_zboot(data):
        start, size = (int.from_bytes(data[at : at + 4], "little") for at in (8, 12))
        packed = data[start : start + size]
    inner = _decompressed(packed, folder, sized=False)
    if inner is None or not _is_plain_arm64(inner):
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            "the image holds no kernel that can be unpacked here.",
            "name the Image of the build",
        )
    return inner


def _is_plain_arm64(head: bytes) -> bool:
    return head[0x38:0x3C] == b"ARM\x64"


def _is_zboot(head: bytes) -> bool:
    return head[:2] == b"MZ" and head[4:8] == b"zimg"


def as_elf(image: Path, folder: Path) -> Path:
    """Return the ELF kernel that an image is, or that is packed in it: a bzImage that QEMU cannot enter otherwise is stored as one.

    folder: for that.
    """
    with image.open("rb") as file:
        head = file.read(0x206)
    if not _is_bzimage(head):
        return image
    target = folder / "vmlinux"
    target.write_bytes(_decompressed(_payload(image.read_bytes()), folder) or b"")
    return target


def _is_bzimage(head: bytes) -> bool:
    return head[0x202:0x206] == b"HdrS"


def _payload(data: bytes) -> bytes:
    """Return the compressed kernel: payload_offset and payload_length in Documentation/arch/x86/boot.rst."""
    start = (1 + (data[0x1F1] or 4)) * 512 + int.from_bytes(data[0x248:0x24C], "little")
    return data[start : start + int.from_bytes(data[0x24C:0x250], "little")]


def _decompressed(payload: bytes, folder: Path, *, sized: bool = True) -> bytes | None:
    """Return the content, or None for a format that nobody ships.

    sized: its size stands behind it, as behind all but gzip's data in a bzImage.
    """
    try:
        if payload[:2] == b"\x1f\x8b":
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(payload)
        if payload[:6] == b"\xfd7zXZ\0":
            return lzma.LZMADecompressor().decompress(payload)
        if payload[:3] == b"BZh":
            return bz2.BZ2Decompressor().decompress(payload)
    except (zlib.error, lzma.LZMAError, OSError):
        return None
    for program, magic in (("lz4", b"\x02\x21\x4c\x18"), ("zstd", _ZSTD)):
        if payload[:4] == magic:
            packed = folder / f"kernel.{program}"
            packed.write_bytes(payload[:-4] if sized else payload)
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

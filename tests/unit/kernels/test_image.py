"""The kernel inside of what distributions ship: bzImage, Image, gzip, zstd, EFI zboot."""

import bz2
import gzip
import lzma
import struct
import subprocess

import pytest

from bpfcompat.architecture import AMD64, ARM64
from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import btf, image


def bzimage(payload):
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    head[0x248:0x24C] = (0).to_bytes(4, "little")
    head[0x24C:0x250] = len(payload).to_bytes(4, "little")
    return bytes(head) + payload


def elf_with_note(name, number):
    """The smallest ELF file that has one note."""
    note = struct.pack("<III", len(name) + 1, 4, number) + name + bytes(4 - len(name) % 4) + bytes(4)
    header = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    return header + struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(note), len(note), 4) + note


PVH = elf_with_note(b"Xen", 18)
PACKED = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data) + len(data).to_bytes(4, "little"),
    "bzip2": lambda data: bz2.compress(data) + len(data).to_bytes(4, "little"),
    **{
        name: lambda data, command=command: (
            subprocess.run(command, input=data, capture_output=True, check=True).stdout
            + len(data).to_bytes(4, "little")
        )
        for name, command in {"lz4": ["lz4", "-lc"], "zstd": ["zstd", "-c"]}.items()
    },
}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
def test_the_kernel_inside_a_bzimage_is_what_boots(tmp_path, pack):
    assert image.unpacked(bzimage(pack(PVH)), tmp_path) == PVH
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "inside",
    [gzip.compress(elf_with_note(b"GNU", 18)), gzip.compress(b"no ELF"), b"\x1f\x8bbroken", b"LZO"],
    ids=["no entry by PVH", "no ELF", "no gzip", "no compression that is known"],
)
def test_a_bzimage_that_qemu_could_not_enter_unpacked_stays_as_it_is(tmp_path, inside):
    assert image.unpacked(bzimage(inside), tmp_path) == bzimage(inside)


def test_an_unpacked_kernel_stays_as_it_is(tmp_path):
    assert image.unpacked(PVH, tmp_path) == PVH


def plain_arm64(content=b""):
    """An Image as Documentation/arch/arm64/booting.rst has it, as far as we look."""
    return b"MZ" + bytes(0x36) + b"ARM\x64" + bytes(0x44) + b"\0Linux version 6.1.0-9-arm64 (x) " + content


def zboot(payload, machine=0xAA64):
    """An EFI program around a packed Image (drivers/firmware/efi/libstub/zboot-header.S)."""
    head = bytearray(0x80)
    head[:2], head[4:8] = b"MZ", b"zimg"
    struct.pack_into("<II", head, 8, 0x80, len(payload))
    struct.pack_into("<I", head, 0x3C, 0x40)
    struct.pack_into("<4sH", head, 0x40, b"PE\0\0", machine)
    return bytes(head) + payload + b"after it"


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


ARM64_IMAGES = {
    "Image": plain_arm64(),
    "Image.gz": gzip.compress(plain_arm64()),
    "Image.zst": zstd(plain_arm64()),
    "zboot, gzip": zboot(gzip.compress(plain_arm64())),
    "zboot, zstd": zboot(zstd(plain_arm64())),
    "zboot, xz": zboot(lzma.compress(plain_arm64())),
}


@pytest.mark.parametrize("packed", ARM64_IMAGES.values(), ids=ARM64_IMAGES)
def test_the_kernel_inside_an_image_of_arm64_is_what_boots(tmp_path, packed):
    (tmp_path / "vmlinuz").write_bytes(packed)
    image.refuse_foreign(tmp_path / "vmlinuz", "mine", ARM64)
    (tmp_path / "vmlinuz").unlink()
    assert image.unpacked(packed, tmp_path) == plain_arm64()
    assert image.release(plain_arm64()) == "6.1.0-9-arm64"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("packed", [zboot(b"LZO"), zboot(gzip.compress(b"no kernel")), zstd(b"no kernel")])
def test_a_packed_image_without_a_kernel_that_can_be_unpacked_is_refused(tmp_path, packed):
    with pytest.raises(NoVerdict, match="no kernel that can be unpacked"):
        image.unpacked(packed, tmp_path)


@pytest.mark.parametrize(
    ("content", "guest", "words"),
    [
        (plain_arm64(), AMD64, "is a kernel for arm64, and the profile is of amd64"),
        (gzip.compress(plain_arm64()), AMD64, "is a kernel for arm64"),
        (zboot(b"x"), AMD64, "is a kernel for arm64"),
        (zboot(b"x", 0x8664), ARM64, "is a kernel for amd64"),
        (bzimage(b""), ARM64, "is a kernel for amd64, and the profile is of arm64"),
        (PVH, ARM64, "is a kernel for amd64"),
        (b"", AMD64, "is not a Linux kernel image"),
        (b"\x1f\x8bbroken", ARM64, "is not a Linux kernel image"),
        (b"MZ" + bytes(200), ARM64, "is not a Linux kernel image"),
    ],
    ids=["plain", "packed", "zboot", "zboot of amd64", "bzimage", "entered by PVH", "empty", "no gzip", "no image"],
)
def test_a_kernel_of_another_architecture_is_told_before_any_boot(tmp_path, content, guest, words):
    (tmp_path / "vmlinuz").write_bytes(content)
    with pytest.raises(NoVerdict, match=words):
        image.refuse_foreign(tmp_path / "vmlinuz", "mine", guest)


def types(size, strings=b"\0int\0"):
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, size, size, len(strings)) + bytes(size) + strings


def test_the_types_of_an_image_without_sections_are_found_by_what_they_begin_with(tmp_path):
    broken = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 16, 16, 1 << 20)
    kernel = tmp_path / "image"
    kernel.write_bytes(plain_arm64(broken + types(16) + b"between" + types(64) + b"\x9f\xeb\x01\x00\x18\x00\x00\x00"))
    assert btf.is_in(kernel)
    assert btf.file(kernel, tmp_path).read_bytes() == types(64)
    kernel.write_bytes(bzimage(gzip.compress(kernel.read_bytes())))
    assert btf.is_in(kernel), "a bzImage is looked into"
    assert btf.file(kernel, tmp_path).read_bytes() == types(64)
    kernel.write_bytes(plain_arm64(broken))
    assert not btf.is_in(kernel)

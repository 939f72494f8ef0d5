"""The ELF kernel inside a bzImage."""

import bz2
import gzip
import lzma
import struct
import subprocess

import pytest

from bpfcompat.kernels import image


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
    "inside", [gzip.compress(elf_with_note(b"GNU", 18)), gzip.compress(b"no ELF"), b"\x1f\x8bbroken", b"LZO"]
)
def test_a_bzimage_that_qemu_could_not_enter_unpacked_stays_as_it_is(tmp_path, inside):
    assert image.unpacked(bzimage(inside), tmp_path) == bzimage(inside)


def test_an_unpacked_kernel_stays_as_it_is(tmp_path):
    assert image.unpacked(PVH, tmp_path) == PVH

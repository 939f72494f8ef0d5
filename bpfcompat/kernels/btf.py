"""The types that a kernel describes, out of its image."""

from __future__ import annotations

import re
import struct
import tempfile
from pathlib import Path

from bpfcompat.kernels.image import as_elf
from bpfcompat.system import elf

_HEADER = re.compile(rb"\x9f\xeb\x01\x00\x18\x00\x00\x00")
"""Magic, version 1, no flags, a header of 24 bytes: as little-endian kernels from 5.2 to 7.3 begin it (Documentation/bpf/btf.rst)."""


def is_in(image: Path) -> bool:
    """Tell whether a kernel describes its own types, which CO-RE needs, also one that is packed in its image."""
    with tempfile.TemporaryDirectory(prefix="bpfcompat-btf.") as folder:
        kernel = as_elf(image, Path(folder))
        try:
            with kernel.open("rb") as file, elf.opened(file) as sections:
                return sections.get_section_by_name(".BTF") is not None
        except elf.DamagedElf:
            return _found(kernel.read_bytes()) is not None


def file(image: Path, folder: Path) -> Path:
    """Return a file that bpftool can read a kernel's types from: an ELF kernel itself, or what was found in an image of another kind.

    folder: for that.
    """
    kernel = as_elf(image, folder)
    data = kernel.read_bytes()
    if data[:4] == b"\x7fELF":
        return kernel
    target = folder / "btf"
    target.write_bytes(_found(data) or b"")
    return target


def _found(kernel: bytes) -> bytes | None:
    """Return the types in an image that has no sections to find them by; None if there are none.

    The kernel's own are the largest: modules that are built in have none of their own.
    """
    found = (_at(kernel, match.start()) for match in _HEADER.finditer(kernel))
    return max((one for one in found if one), key=len, default=None)


def _at(kernel: bytes, at: int) -> bytes | None:
    """Return what begins at a header, or None if only these bytes look like one: types come first, then strings, the first empty."""
    if at + 24 > len(kernel):
        return None
    type_offset, type_size, string_offset, string_size = struct.unpack_from("<4I", kernel, at + 8)
    strings, whole = at + 24 + string_offset, 24 + string_offset + string_size
    if type_offset or not type_size or string_offset < type_size or at + whole > len(kernel) or kernel[strings]:
        return None
    return kernel[at : at + whole]

"""The BPF objects in a file: the file itself, or those that a loader carries within (skeletons, bpf2go, include_bytes)."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bpfcompat.system import elf

_MAGIC = b"\x7fELF\x02\x01\x01"
_BPF = 247  # EM_BPF
_CALL = 0x85
_OBJECTS_AT_MOST = 64


def asked(path: Path) -> dict[str, Any]:
    """Return what the objects in a file ask of a kernel: each program's `sections` by name, and the numbers of all `helpers`.

    What cannot be read is left out: it is about a failure that stands without this.
    """
    sections: dict[str, str] = {}
    helpers: set[int] = set()
    for data in _objects(path):
        try:
            with elf.opened(io.BytesIO(data)) as file:
                _read(file, sections, helpers)
        except elf.DamagedElf:
            continue
    return {"sections": sections, "helpers": sorted(helpers)}


def _objects(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at, count = data.find(_MAGIC), 0
            while at >= 0 and count < _OBJECTS_AT_MOST:
                if int.from_bytes(data[at + 18 : at + 20], "little") == _BPF:
                    count += 1
                    table, rows = (
                        int.from_bytes(data[at + 40 : at + 48], "little"),
                        int.from_bytes(data[at + 60 : at + 62], "little"),
                    )
                    yield data[at : at + table + 64 * rows]  # compilers write the table of sections last
                at = data.find(_MAGIC, at + 1)
    except (OSError, ValueError):  # ValueError: an empty file
        return


def _read(file: Any, sections: dict[str, str], helpers: set[int]) -> None:
    executable = {
        number: section
        for number, section in enumerate(file.iter_sections())
        if section["sh_type"] == "SHT_PROGBITS" and section["sh_flags"] & 4
    }
    for section in executable.values():
        code = section.data()
        for at in range(0, len(code) - 7, 8):
            if code[at] == _CALL and code[at + 1] >> 4 == 0:
                helpers.add(int.from_bytes(code[at + 4 : at + 8], "little"))
    symbols = file.get_section_by_name(".symtab")
    for symbol in symbols.iter_symbols() if symbols else ():
        section = executable.get(symbol["st_shndx"])
        if section is not None and symbol["st_info"]["type"] == "STT_FUNC" and section.name != ".text":
            sections[symbol.name] = section.name

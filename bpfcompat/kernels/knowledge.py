"""What the files of a kernel in the store tell about a failure, without a boot: its configuration, and the functions of its modules."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bpfcompat.architecture import Architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels import facts
from bpfcompat.model import Kernel
from bpfcompat.system import atomic, disk, elf

_FORMAT = 1
_FUNCTION = 2  # STT_FUNC
_OPTIONS = (
    "CONFIG_BPF_KPROBE_OVERRIDE", "CONFIG_BPF_LIRC_MODE2", "CONFIG_BPF_LSM", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "CONFIG_FPROBE", "CONFIG_FUNCTION_ERROR_INJECTION",
    "CONFIG_HID_BPF", "CONFIG_NETFILTER_BPF_LINK", "CONFIG_NET_SCH_BPF", "CONFIG_SCHED_CLASS_EXT",
)  # fmt: skip
"""What a failure may hang on although the kernel's BTF lists all that it takes."""


def of(kernel: Kernel, functions: Iterable[str], guest: Architecture) -> dict[str, Any]:
    """Return what there is to know: `release`, `arch`, `options` (if the configuration came), and which modules have the functions."""
    known = facts.options(kernel.config)
    told: dict[str, Any] = {"release": kernel.release, "arch": guest.name, "modules": {}, "modules_known": False}
    if known:
        told["options"] = {name: known.get(name, "n") for name in _OPTIONS}
    wanted = set(functions)
    index = modules(kernel) if wanted else None
    if index is not None:
        told["modules_known"] = True
        for module, found in index.items():
            for name in wanted.intersection(found["functions"]):
                told["modules"].setdefault(name, {"module": module, "btf": found["btf"]})
    return told


def modules(kernel: Kernel) -> dict[str, Any] | None:
    """Return each module's functions, and whether it has BTF; None if no modules came.

    What was read once is kept beside the kernel.
    """
    if kernel.modules_disk is None:
        return None
    memo = kernel.image.parent / "modules.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(memo.read_bytes())
        if kept["format"] == _FORMAT and kept["modules"] == kernel.modules_sha256:
            found: dict[str, Any] = kept["found"]
            return found
    try:
        found = _read(kernel.modules_disk, kernel.image.parent.parent)
    except (BpfcompatError, OSError):
        return None  # it is about a failure that stands without this
    with contextlib.suppress(OSError):  # a store that is not ours to write costs time, nothing else
        atomic.write(memo, json.dumps({"format": _FORMAT, "modules": kernel.modules_sha256, "found": found}).encode())
    return found


def _read(modules_disk: Path, near: Path) -> dict[str, Any]:
    """Unpack a disk of modules and read them; near: a folder with room for that, if it is ours to write."""
    with tempfile.TemporaryDirectory(prefix=".modules.", dir=near if os.access(near, os.W_OK) else None) as name:
        root = Path(name) / "root"
        disk.unpack(modules_disk, root)
        found = {}
        for path in sorted(root.rglob("*.ko")):
            with contextlib.suppress(elf.DamagedElf):
                found[path.stem.replace("-", "_")] = _functions(path.read_bytes())
        return found


def _functions(module: bytes) -> dict[str, Any]:
    """Return the functions in a module's symbol table, which stands also in modules that are stripped of debug information."""
    with elf.opened(io.BytesIO(module)) as file:
        symbols, names = file.get_section_by_name(".symtab"), file.get_section_by_name(".strtab")
        table, text = (symbols.data(), names.data()) if symbols and names else (b"", b"")
        btf = file.get_section_by_name(".BTF") is not None
    # By hand: pyelftools takes minutes for the modules of one kernel.
    found = set()
    for name, info, _, section, _, _ in struct.iter_unpack("<IBBHQQ", table[: len(table) // 24 * 24]):
        if info & 15 == _FUNCTION and section:
            found.add(text[name : text.find(b"\0", name)].decode(errors="replace"))
    return {"btf": btf, "functions": sorted(found)}

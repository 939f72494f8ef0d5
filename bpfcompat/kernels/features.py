"""What a kernel offers to BPF programs: what its own BTF lists, and what `bpftool feature probe` found when it was booted.

Its BTF is read without a boot, and lists what the source had; what the configuration left out of that, only a boot tells.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import kit
from bpfcompat.kernels import btf
from bpfcompat.model import Features, Kernel
from bpfcompat.system import atomic, processes
from bpfcompat.verdict import bpf

_ENUMS = {
    "map_types": ("bpf_map_type", "BPF_MAP_TYPE_"),
    "program_types": ("bpf_prog_type", "BPF_PROG_TYPE_"),
    "attach_types": ("bpf_attach_type", "BPF_"),
    "helpers": ("bpf_func_id", "BPF_FUNC_"),
}
_FORMAT = 2


def of(kernel: Kernel) -> Features | None:
    """Return what a kernel offers; None if it has no BTF. What was read once is kept beside the kernel."""
    memo = kernel.image.parent / "features.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(memo.read_bytes())
        if kept["format"] == _FORMAT:
            return _features(kept["found"], probed(kernel))
    found = _read(kernel.image)
    with contextlib.suppress(OSError):  # a store that is not ours to write costs time, nothing else
        atomic.write_json(memo, {"format": _FORMAT, "found": found})
    return _features(found, probed(kernel))


def _features(found: dict[str, Any] | None, measured: dict[str, Any] | None) -> Features | None:
    if found is None:
        return None
    sets = {name: frozenset(found[name]) for name in _ENUMS}
    for name, table, kind in (("map_types", bpf.MAP_TYPES, "map"), ("program_types", bpf.PROGRAM_TYPES, "prog")):
        said = (measured or {}).get(name, {})
        lacking = {number for number, (word, _) in table.items() if said.get(f"have_{word}_{kind}_type") is False}
        sets[name] -= lacking
    return Features(**sets, charges_memlock=found["charges_memlock"])


def _read(image: Path) -> dict[str, Any] | None:
    """Return the numbers that a kernel's BTF lists, by the names of _ENUMS; None if it has none."""
    try:
        with tempfile.TemporaryDirectory(prefix="bpfcompat-btf.") as folder:
            types = btf.file(image, Path(folder))
            said = processes.check(
                [*kit.tool("/usr/sbin/bpftool"), "-j", "btf", "dump", "file", str(types)],
                doing=f"reading the BTF of {image}",
            )
        types = json.loads(said)["types"]
    except (BpfcompatError, ValueError, KeyError):
        return None
    enums = {one["name"]: one["values"] for one in types if one["kind"] == "ENUM"}
    found: dict[str, Any] = {
        name: sorted(value["val"] for value in enums.get(enum, ()) if value["name"].startswith(prefix))
        for name, (enum, prefix) in _ENUMS.items()
    }
    # Linux 5.11 charges memory to the cgroup, and no longer to RLIMIT_MEMLOCK (3ac1f01b43b6): this structure went then.
    found["charges_memlock"] = any(one["kind"] == "STRUCT" and one["name"] == "bpf_map_memory" for one in types)
    return found


def keep_probed(kernel: Kernel, found: dict[str, Any]) -> None:
    """Keep what a boot of a kernel found out, beside it; raises OSError."""
    atomic.write_json(_probed_path(kernel), found)


def probed(kernel: Kernel) -> dict[str, Any] | None:
    """Return what a boot of a kernel found out; None if there was none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(_probed_path(kernel).read_bytes())
        return found if isinstance(found, dict) else None
    return None


def _probed_path(kernel: Kernel) -> Path:
    return kernel.image.parent / "probed.json"

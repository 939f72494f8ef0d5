"""What a vendor's kernel says of itself against what the table says was read of it: only the differences are told."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels import btf, facts
from bpfcompat.kernels.vendors import rows
from bpfcompat.model import Kernel, Profile
from bpfcompat.system import atomic

_FORMAT = 1
_WORDS = {"btf": "BTF", "bpf_lsm": "BPF LSM active", "fprobe": "kprobe.multi", "modules": "compression of modules"}


def said(kernel: Kernel) -> dict[str, Any]:
    """Return what a kernel's files tell of what the table has; what they do not tell is not in it."""
    memo = kernel.image.parent / "said.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept = json.loads(memo.read_bytes())
        if kept["format"] == _FORMAT:
            found: dict[str, Any] = kept["said"]
            return found
    found, config = {"btf": btf.is_in(kernel.image)}, facts.options(kernel.config)
    if config:
        found |= {"bpf_lsm": facts.has_bpf_lsm(config), "fprobe": config.get("CONFIG_FPROBE") == "y"}
    with contextlib.suppress(OSError, ValueError):
        found |= {"modules": json.loads((kernel.image.parent / "kernel.json").read_bytes()).get("compression", "")}
    found = {name: value for name, value in found.items() if value != ""}
    with contextlib.suppress(OSError):  # a store that is not ours to write costs time, nothing else
        atomic.write_json(memo, {"format": _FORMAT, "said": found})
    return found


def of(profile: Profile, kernel: Kernel) -> str:
    """Return in what a kernel differs from what was read of its vendor's; empty if in nothing, and for other kernels."""
    if not profile.vendor and profile.kernel.partition(":")[0] not in rows.table():
        return ""
    try:
        row = rows.find(profile.kernel, profile.vendor)
    except (BpfcompatError, KeyError):
        return ""
    version = rows.parsed(profile.kernel)
    read, found = dict(row.read), said(kernel)
    different = [f"{_WORDS[name]} {_shown(found[name])}, not {_shown(value)}" for name, value in read.items()
                 if name in found and found[name] != value]  # fmt: skip
    series = read.get("version")
    if series and not (version and version[3]) and not kernel.release.startswith(f"{series}."):
        different.insert(0, f"{kernel.release}, not {series}")
    return f"news: this kernel of {row.name} is not what was read of it: {'; '.join(different)}" if different else ""


def _shown(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)

"""What a kernel in the store can do, as far as its image and its configuration tell without a boot."""

from __future__ import annotations

import re
from pathlib import Path

from bpfcompat.kernels import btf
from bpfcompat.model import Kernel

_UNKNOWN = "unknown: its configuration did not come with it"


def size(kernel: Kernel) -> int:
    """Return the bytes that a kernel takes in the store, holes not counted."""
    return sum(path.lstat().st_blocks * 512 for path in kernel.image.parent.rglob("*"))


def of(kernel: Kernel) -> dict[str, str]:
    """Return what there is to know, by names that a user knows."""
    config = options(kernel.config)

    def said(name: str, text: str = "") -> str:
        if not config:
            return _UNKNOWN
        value = config.get(name, "n")
        return text or {"y": "yes", "m": "as a module", "n": "no"}.get(value, value)

    return {
        "release": kernel.release,
        "version": kernel.version,
        "source": kernel.source,
        "image": f"sha256:{kernel.image_sha256}",
        "modules": f"sha256:{kernel.modules_sha256}" if kernel.modules_disk else "without modules",
        "size": f"{size(kernel) / 1e6:,.0f} MB",
        "BTF": "yes" if btf.is_in(kernel.image) else "no",
        "LSM": said("CONFIG_LSM"),
        "BPF LSM": said("CONFIG_BPF_LSM"),
        "BPF JIT": said("CONFIG_BPF_JIT", "always" if config.get("CONFIG_BPF_JIT_ALWAYS_ON") == "y" else ""),
        "unprivileged BPF off": said("CONFIG_BPF_UNPRIV_DEFAULT_OFF"),
        "lockdown": said("CONFIG_SECURITY_LOCKDOWN_LSM"),
        "kprobe.multi": said("CONFIG_FPROBE"),
        "preemption": next((name for name in ("PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT", "PREEMPT_VOLUNTARY", "PREEMPT_NONE")
                            if config.get(f"CONFIG_{name}") == "y"), _UNKNOWN if not config else "unknown"),
    }  # fmt: skip


def has_bpf_lsm(config: dict[str, str]) -> bool:
    """Tell whether BPF LSM is active without a change of the command line; config: as `options` returns it."""
    return config.get("CONFIG_BPF_LSM") == "y" and "bpf" in config.get("CONFIG_LSM", "").split(",")


def options(config: Path | None) -> dict[str, str]:
    """Return the options that a configuration sets; empty if there is none."""
    if config is None:
        return {}
    found = re.findall(r'^(CONFIG_\w+)=(?:"(.*)"|(.*))$', config.read_text(errors="replace"), re.MULTILINE)
    return {name: quoted or plain for name, quoted, plain in found}

"""What a kernel can do, asked of the kernel itself: `bpftool feature probe` in a guest, once for each kernel in the store."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels import features
from bpfcompat.model import Check, Kernel, Matrix, Profile, Project
from bpfcompat.outcome import Status
from bpfcompat.report import Progress
from bpfcompat.system import host
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Session

_COMMAND = r"""
first() { head -c 400 "$1" 2>/dev/null | head -n 1; }
printf '%s\n' "$(first /sys/kernel/security/lsm)" "$(first /sys/kernel/security/lockdown)" "$(first /proc/sys/net/core/bpf_jit_enable)"
bpftool -j feature probe kernel
"""
_SECONDS = 120.0


def probe(profile: Profile, kernel: Kernel, progress: Progress) -> dict[str, Any]:
    """Return what a profile's kernel can do, as it was found out before or by a boot now; raises BpfcompatError.

    kernel: the profile's, in the store.
    """
    found = features.probed(kernel)
    if found is None:
        found = boot(profile, progress)
        try:
            features.keep_probed(kernel, found)
        except OSError as error:
            progress.notice(f"what {profile.id} can do is not kept: {error.strerror}")
    return found


def summary(kernel: Kernel, found: dict[str, Any]) -> dict[str, str]:
    """Return what there is to say of that in a few lines, by names that a user knows."""
    offered = features.of(kernel)
    memlock = (
        "unknown: it has no BTF" if offered is None else "RLIMIT_MEMLOCK" if offered.charges_memlock else "the cgroup"
    )
    names = {name for helpers in found.get("helpers", {}).values() for name in helpers}
    return {
        "active LSMs": found["lsm"] or "none",
        "locked down": (re.search(r"\[(?!none)(\w+)\]", found["lockdown"]) or ["", "no"])[1],
        "JIT": {"0": "off", "1": "on", "2": "on, with debug output"}.get(found["bpf_jit_enable"], "always on"),
        "BPF memory": f"charged to {memlock}",
        "program types": _counted(found.get("program_types", {}), "have_", "_prog_type"),
        "map types": _counted(found.get("map_types", {}), "have_", "_map_type"),
        "helpers": str(len(names)),
    }


def _counted(found: dict[str, bool], prefix: str, suffix: str) -> str:
    lacking = [name.removeprefix(prefix).removesuffix(suffix) for name, there in found.items() if not there]
    without = f", not {', '.join(lacking)}" if lacking else ""
    return f"{len(found) - len(lacking)} of {len(found)}{without}"


def boot(profile: Profile, progress: Progress) -> dict[str, Any]:
    """Return what a profile's kernel can do, by a boot now; raises BpfcompatError."""
    check = Check(_COMMAND, name="features", timeout=_SECONDS)
    with tempfile.TemporaryDirectory(prefix="bpfcompat-") as folder:
        session = Session(
            Project((check,), Matrix((profile,)), Path(folder)), cache=host.cache_folder(), notice=progress.notice
        )
        try:
            with progress.doing(f"asking {profile.id} what it can do"):
                (target,) = engine.run(session).targets
        finally:
            session.close()
        verdict, evidence = target.record.verdict, target.record.evidence
        if verdict.status is not Status.PASS or evidence is None:
            raise BpfcompatError(f"{profile.id} cannot be asked what it can do: {verdict.reason}")
        lsm, lockdown, jit, said = (Path(folder) / evidence / "stdout.log").read_text(errors="replace").split("\n", 3)
    try:
        return {"lsm": lsm, "lockdown": lockdown, "bpf_jit_enable": jit, **json.loads(said)}
    except (ValueError, TypeError) as error:
        raise BpfcompatError(f"what bpftool said of {profile.id} cannot be read: {error}.") from error

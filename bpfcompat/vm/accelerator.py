"""Which accelerator QEMU can use here: found out once by a boot, since a /dev/kvm that opens proves nothing.

Seen: /dev/kvm opens, answers its API version and creates a machine, and QEMU 7.2 still aborts (`-cpu max`) or hangs for
ever (other models); `-accel kvm -accel tcg` does not fall back either.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.model import Classification
from bpfcompat.system import atomic, host
from bpfcompat.vm import qemu
from bpfcompat.vm.arch import BOARDS

DEVICE = Path("/dev/kvm")
PROBE_SECONDS = 2.5
"""A kernel that needs longer to come up with KVM is not faster than one that is emulated."""


@dataclass(frozen=True)
class Accelerator:
    """What runs the guests' instructions."""

    name: str
    """kvm or tcg, as QEMU calls them."""
    reason: str = ""
    """Why it is not kvm."""


def known(wanted: str, cache: Path) -> Accelerator | None:
    """Return the accelerator to use, or None if only a probe can tell.

    wanted: auto, kvm or tcg.
    Raises BpfcompatError if kvm is demanded where there is none.
    """
    if wanted == "tcg":
        return Accelerator("tcg", "the project asks for it (accel: tcg)")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        missing = not DEVICE.exists()
        found = Accelerator("tcg", f"there is no {DEVICE}" if missing else f"{DEVICE} may not be opened by this user")
        if wanted == "kvm":
            hint = (
                "load the module kvm_intel or kvm_amd"
                if missing
                else f"sudo usermod -aG kvm {os.environ.get('USER', '$USER')}"
            )
            raise _unusable(found.reason, hint)
        return found
    try:
        memo = json.loads(_memo(cache).read_bytes())
        remembered = Accelerator(memo["name"], memo["reason"]) if memo["of"] == _host() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if remembered and wanted == "kvm" != remembered.name:
        return None  # it may have been mended since
    return remembered


def of_foreign(wanted: str, guest: Architecture) -> Accelerator:
    """Return the accelerator for machines of another architecture than this one's.

    wanted: auto, kvm or tcg.
    Raises BpfcompatError if kvm is demanded.
    """
    found = Accelerator("tcg", f"KVM runs {architecture.host().name} here, and not {guest.name}")
    if wanted == "kvm":
        raise _unusable(found.reason, "remove `accel: kvm`; machines of another architecture are always emulated")
    return found


def probe(machine: qemu.Machine, wanted: str, cache: Path) -> Accelerator:
    """Find out whether KVM works by booting a machine with it, and remember that for this QEMU and this host's kernel.

    Takes PROBE_SECONDS at most. Raises BpfcompatError if kvm is demanded and does not work.
    """
    with tempfile.TemporaryDirectory(prefix="bpfcompat-probe.") as folder:
        reason = _failure(replace(machine, accelerator="kvm"), Path(folder))
    found = Accelerator("tcg" if reason else "kvm", reason)
    with contextlib.suppress(OSError):  # then it is found out again next time
        atomic.write_json(_memo(cache), {"of": _host(), "name": found.name, "reason": found.reason})
    if reason and wanted == "kvm":
        raise _unusable(reason, "remove `accel: kvm`; machines are then emulated, which is slower")
    return found


def _failure(machine: qemu.Machine, folder: Path) -> str:
    """Return why a machine does not come up; empty if it does."""
    from bpfcompat.vm import machine as guests  # with it comes pexpect, which most runs need not load for this

    disk = folder / "disk"
    with disk.open("xb") as file:
        file.truncate(1 << 20)
    try:
        guests.boot(machine, disk, folder, time.monotonic() + PROBE_SECONDS).stop()
    except NoVerdict as error:
        if error.classification is Classification.INTERRUPTED:
            raise
        return error.message
    return ""


def _unusable(reason: str, hint: str) -> BpfcompatError:
    return BpfcompatError(f"`accel: kvm` is demanded, but KVM does not work here: {reason}", hint)


def _memo(cache: Path) -> Path:
    return cache / "accelerator.json"


def _host() -> list[str]:
    return [host.qemu_version(BOARDS[architecture.host().name].program), platform.release()]

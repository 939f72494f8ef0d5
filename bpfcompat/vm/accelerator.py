"""Which accelerator QEMU can use here: found out once by a boot, since a /dev/kvm that opens proves nothing.

Seen: /dev/kvm opens, answers its API version and creates a machine, and QEMU 7.2 still aborts (`-cpu max`) or hangs for
ever (other models); `-accel kvm -accel tcg` does not fall back either.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.outcome import Classification
from bpfcompat.system import atomic, host
from bpfcompat.vm import qemu
from bpfcompat.vm.arch import BOARDS

DEVICE = Path("/dev/kvm")
SILENCE_SECONDS = 2.5
"""A guest whose console is silent for so long is not coming up; a kernel that boots says something all the time."""
BOOT_SECONDS = 30.0
"""So long one may take that goes on talking: KVM within a virtual machine can be slow, and is KVM all the same."""
DEMANDED_SECONDS = 120.0
"""So long one may take, and be silent for a quarter of that, where KVM is demanded: then there is nothing else to take."""
_QUICK_SECONDS = 1.0
"""No emulated kernel comes up in less (1.3 s at least, QEMU 7.2), so what does needs no comparison."""
_TALKATIVE = "loglevel=7"
"""Takes back the `quiet` of other boots."""


@dataclass(frozen=True)
class Accelerator:
    """What runs the guests' instructions."""

    name: str
    """kvm or tcg, as QEMU calls them."""
    reason: str = ""
    """Why it is not kvm."""


def is_there() -> bool:
    """Tell whether there is a KVM that this user may try."""
    return os.access(DEVICE, os.R_OK | os.W_OK)


def known(wanted: str, cache: Path) -> Accelerator | None:
    """Return the accelerator to use, or None if only a probe can tell.

    wanted: auto, kvm or tcg.
    Raises BpfcompatError if kvm is demanded where there is none.
    """
    if wanted == "tcg":
        return Accelerator("tcg", "the project asks for it (accel: tcg)")
    if not is_there():
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
        if memo["name"] != "kvm" and memo["boot"] != host.boot_id():
            return None
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


@dataclass(frozen=True)
class Speeds:
    """How a machine boots with KVM and without."""

    kvm: float | None
    """Seconds to READY; None if it does not come up."""
    tcg: float | None
    """The same under software emulation; None if it was not tried, or does not come up either."""
    failure: str = ""
    """Why it does not come up with KVM."""
    slow: bool = False
    """It went on booting all the time, and was not up when its time was over."""

    @property
    def chosen(self) -> Accelerator:
        """What to run guests with."""
        if self.kvm is None:
            return Accelerator("tcg", self.failure)
        if self.tcg is not None and self.tcg <= self.kvm:
            return Accelerator("tcg", f"a machine boots in {self.kvm:.1f} s with it, and in {self.tcg:.1f} s without")
        return Accelerator("kvm")


def probe(machine: qemu.Machine, wanted: str, cache: Path) -> Accelerator:
    """Find out whether KVM works by booting a machine with it, and remember what does not depend on how busy this host is.

    What works is remembered for this QEMU and this host's kernel, what fails until this host is booted anew. Raises
    BpfcompatError if KVM is demanded and does not work.
    """
    found = measure(machine, compare=wanted != "kvm")
    remember(found, cache)
    if found.kvm is None and wanted == "kvm":
        raise _unusable(found.failure, "remove `accel: kvm`; machines are then emulated, which is slower")
    return found.chosen if wanted != "kvm" else Accelerator("kvm")


def measure(machine: qemu.Machine, *, compare: bool, always: bool = False) -> Speeds:
    """Boot a machine with KVM, and without if that tells something.

    compare: KVM is to be taken only if it is faster.
    always: boot it without KVM in any case.
    """
    talkative = replace(machine, cmdline=f"{machine.cmdline} {_TALKATIVE}".strip())
    limits = (SILENCE_SECONDS, BOOT_SECONDS) if compare else (DEMANDED_SECONDS / 4, DEMANDED_SECONDS)
    kvm, failure, slow = _boot(replace(talkative, accelerator="kvm"), *limits)
    tcg = None
    if always or (compare and kvm is not None and kvm > _QUICK_SECONDS):
        tcg = _boot(replace(talkative, accelerator="tcg"), *limits)[0]
    return Speeds(kvm, tcg, failure, slow)


def remember(found: Speeds, cache: Path) -> None:
    """Keep what was found out, but not that something was slow: the host may have been busy."""
    if found.slow or (found.kvm is not None and found.chosen.name == "tcg"):
        return
    boot = "" if found.kvm is not None else host.boot_id()
    chosen = found.chosen
    with contextlib.suppress(OSError):  # then it is found out again next time
        atomic.write_json(_memo(cache), {"of": _host(), "boot": boot, "name": chosen.name, "reason": chosen.reason})


def _boot(machine: qemu.Machine, silence: float, seconds: float) -> tuple[float | None, str, bool]:
    """Return how long a machine takes to come up; if it does not, why, and whether it was only slow.

    silence: seconds without a byte on its console that end it.
    seconds: for all of it.
    """
    from bpfcompat.vm.machine import start  # with it comes pexpect, which most runs need not load for this

    with tempfile.TemporaryDirectory(prefix="bpfcompat-probe.") as name:
        disk = Path(name) / "disk"
        with disk.open("xb") as file:
            file.truncate(1 << 20)
        started = time.monotonic()
        try:
            with start(machine, disk, Path(name)) as guest:
                guest.wait_ready_while_it_talks(silence, started + seconds)
        except NoVerdict as error:
            if error.classification is Classification.INTERRUPTED:
                raise
            return None, error.message, time.monotonic() >= started + seconds
        return time.monotonic() - started, "", False


def _unusable(reason: str, hint: str) -> BpfcompatError:
    return BpfcompatError(f"`accel: kvm` is demanded, but KVM does not work here: {reason}", hint)


def _memo(cache: Path) -> Path:
    return cache / "accelerator.json"


def _host() -> list[str]:
    return [host.qemu_version(BOARDS[architecture.host().name].program), os.uname().release]

"""Limits that fit this machine: what was right for a usual one, times how much slower this one boots the same kernel."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from bpfcompat.dataclass import dataclass
from bpfcompat.model import DEFAULT_COMMAND_SECONDS, Check, Job, Kernel
from bpfcompat.system import atomic
from bpfcompat.vm import Machine

_USUAL_BOOT = {"tcg": 3.0, "kvm": 1.0}
"""Seconds of a boot on a machine for which the limits below are right as they are (measured: 1.3 to 2.2 s emulated)."""
_BOOT_SECONDS = 30.0
_TOTAL_SECONDS = 180.0
_SLOWEST = 20.0
"""No limit grows by more than this: who is that slow has to say so."""
_BOOTS_KEPT = 5


@dataclass(frozen=True)
class Limits:
    """The limits of one job, in seconds."""

    boot: float
    command: float
    total: float
    """For one boot and one command together."""
    command_is_default: bool
    """Nobody has given the command's."""
    note: str = ""
    """What is to be told of them."""


class Pace:
    """How long boots took on this machine, by kernel. Methods are called from several threads, and by several processes."""

    def __init__(self, cache: Path) -> None:
        """Nothing is read yet."""
        self._path = cache / "boots.json"

    def booted(self, machine: Machine, kernel: Kernel, seconds: float) -> None:
        """Keep how long a boot took."""
        with contextlib.suppress(OSError), atomic.locked(self._path.with_suffix(".lock")):
            boots = self._read()
            name = _name(machine.accelerator, kernel)
            boots[name] = [*boots.get(name, []), round(seconds, 2)][-_BOOTS_KEPT:]
            atomic.write_json(self._path, boots)

    def slowness(self, accelerator: str, kernel: Kernel | None) -> tuple[float, float]:
        """Return by how much this machine is slower than a usual one, at least 1, and what a boot of the kernel takes.

        A kernel that was not booted here yet counts as the others do.
        """
        boots = self._read()
        own = boots.get(_name(accelerator, kernel), []) if kernel else []
        others = [one for name, found in boots.items() if name.startswith(f"{accelerator} ") for one in found]
        if not (own or others):
            return 1.0, 0.0
        ordered = sorted(own or others)  # statistics.median takes 6 ms to import
        usual = ordered[len(ordered) // 2]
        return min(max(usual / _USUAL_BOOT[accelerator], 1.0), _SLOWEST), usual

    def _read(self) -> dict[str, list[float]]:
        try:
            found = json.loads(self._path.read_bytes())
            return {str(name): [float(one) for one in boots] for name, boots in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _name(accelerator: str, kernel: Kernel) -> str:
    return f"{accelerator} {kernel.image_sha256}"


def boot(pace: Pace, accelerator: str, kernel: Kernel | None, given: float | None) -> float:
    """Return the limit for a boot; given: by the user, which is taken as it is."""
    return given or _BOOT_SECONDS * pace.slowness(accelerator, kernel)[0]


def of(
    pace: Pace, job: Job, accelerator: str, kernel: Kernel | None, boot_given: float | None, total_given: float | None
) -> Limits:
    """Return the limits of a job; what the user has given is taken as it is."""
    slowness, usual = pace.slowness(accelerator, kernel)
    boot_seconds = boot(pace, accelerator, kernel, boot_given)
    given = command_given(job)
    command = given or round(DEFAULT_COMMAND_SECONDS * slowness, 1)
    note = ""
    if not given and slowness > 1:
        note = (
            f"the command's limit was {command:g} s instead of {DEFAULT_COMMAND_SECONDS:g} s,"
            f" because this machine takes {usual:g} s to boot a kernel"
        )
    total = total_given or max(_TOTAL_SECONDS, boot_seconds + longest(job.check, command))
    return Limits(boot_seconds, command, total, not given, note)


def longest(check: Check, command_seconds: float) -> float:
    """Return how long a command may take with all its steps, in seconds.

    command_seconds: its limit.
    """
    return check.ready.longest(command_seconds) if check.ready else command_seconds


def command_given(job: Job) -> float | None:
    """Return the limit that the user gave for a job's command, if there is one."""
    return job.profile.timeout or job.check.timeout

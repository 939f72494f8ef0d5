"""What a run needs, looked at before anything is built, fetched or booted."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import payload
from bpfcompat.model import Check, Project
from bpfcompat.records import VerdictStore
from bpfcompat.system import host
from bpfcompat.workflow.machines import Machines
from bpfcompat.workflow.payloads import Payloads


def check(
    project: Project, checks: Sequence[Check], store: VerdictStore, machines: Machines, payloads: Payloads
) -> None:
    """Raise BpfcompatError for the first input that is missing; a loader that cannot run is told in the rows of its jobs."""
    store.prepare()
    machines.kernels.check_locks()
    for profile in project.matrix.profiles:
        machines.accelerator(profile)
    programs = (machines.board(profile).program for profile in project.matrix.profiles)
    for name in dict.fromkeys([*programs, "mke2fs"]):
        host.program(name)
    if isinstance(project.rootfs, Path) and len(machines.userlands) > 1:
        names = " and ".join(guest.name for guest in machines.userlands)
        raise BpfcompatError(
            f"guest.rootfs is of one architecture, and the profiles are of {names}.",
            "run those of one at a time with --profile, or name an image of both: `rootfs: oci:REFERENCE`",
        )
    for userland in machines.userlands.values():
        if userland.rootfs and not (isinstance(project.rootfs, Path) and project.rootfs.is_dir()):
            host.program("tar")
    needing = [one for one in checks if _needs_validator(one)]
    for userland in dict.fromkeys(machines.userland(one.arch) for one in needing):
        userland.build_kit(machines.notice)
        userland.build_validator()
    for one in checks:
        with contextlib.suppress(NoVerdict):  # told in the rows of its jobs
            payloads.of(one)


def _needs_validator(check: Check) -> bool:
    """Tell whether a check has an object that only the validator can judge; raises BpfcompatError for a file that is missing."""
    if check.validation:
        with contextlib.suppress(NoVerdict):  # told in the rows of its jobs
            payload.entries(check)
            return True
    return False

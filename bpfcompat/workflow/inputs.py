"""What a run needs, looked at before anything is built, fetched or booted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.guest import payload
from bpfcompat.model import Check, Project
from bpfcompat.records import VerdictStore
from bpfcompat.system import host
from bpfcompat.workflow.machines import Machines
from bpfcompat.workflow.payloads import Payloads


def check(project: Project, store: VerdictStore, machines: Machines, payloads: Payloads) -> None:
    """Raise BpfcompatError for the first input that is missing; a loader that cannot run is told in the rows of its jobs."""
    store.prepare()
    machines.kernels.check_locks()
    for profile in project.matrix.profiles:
        machines.accelerator(profile)
    programs = (machines.board(profile).program for profile in project.matrix.profiles)
    for name in dict.fromkeys([*programs, "mke2fs"]):
        host.program(name)
    if machines.userland.rootfs and not (isinstance(project.rootfs, Path) and project.rootfs.is_dir()):
        host.program("tar")
    if _needs_validator(project.checks):
        machines.userland.build_kit(machines.notice)
        machines.userland.build_validator()
    for one in project.checks:
        with contextlib.suppress(NoVerdict):  # told in the rows of its jobs
            payloads.of(one)


def _needs_validator(checks: Iterable[Check]) -> bool:
    """Tell whether there is an object that only the validator can judge; raises BpfcompatError for a file that is missing."""
    needed = False
    for one in checks:
        if one.validation:
            with contextlib.suppress(NoVerdict):  # told in the rows of its jobs
                payload.entries(one)
                needed = True
    return needed

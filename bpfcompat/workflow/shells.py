"""`bpfcompat shell`: the machine as a check would have it, with a shell on a terminal. Nothing is recorded."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bpfcompat.dataclass import dataclass
from bpfcompat.model import Check, Profile, Project
from bpfcompat.outcome import Outcome
from bpfcompat.vm import bootimage, job
from bpfcompat.workflow import jobs
from bpfcompat.workflow.machines import Machines
from bpfcompat.workflow.payloads import Payloads
from bpfcompat.workflow.readiness import make_ready

if TYPE_CHECKING:
    from bpfcompat.vm import Machine
    from bpfcompat.vm import machine as guests


@dataclass(frozen=True)
class Terminal:
    """Where the shell is typed at and shown."""

    rows: int
    columns: int
    name: str
    """As TERM has it."""
    source: int
    """The file descriptor that keys come from."""
    live: guests.Live
    attached: Callable[[guests.Typed], None]
    """Called when the shell listens; it may be resized from then on."""
    typed: Callable[[bytes], None]
    """Called with every key before it is sent."""


def run(
    project: Project,
    check: Check,
    profile: Profile,
    cache: Path,
    terminal: Terminal,
    notice: Callable[[str], None],
    gdb: Callable[[Path], None] | None = None,
) -> Outcome:
    """Run a shell where a check's command would run, and return how it ended.

    gdb: called with the socket at which the machine waits for a debugger before its first instruction.
    Raises NoVerdict, BpfcompatError.
    """
    machines = Machines(project, cache, offline=False, notice=notice)
    machine, images, boot_seconds = make_ready(machines, cache, profile, warm=gdb is None)
    if gdb:  # whoever debugs takes the time that it takes
        boot_seconds = job.FOREVER
    job_of_it = jobs.plan(replace(project, checks=(check,), matrix=replace(project.matrix, profiles=(profile,))))[0]
    check, profile = job_of_it.check, job_of_it.profile
    if check.validation:
        machines.userland(profile.arch).build_validator()
    scratch = Path(tempfile.mkdtemp(prefix="bpfcompat-shell."))
    try:
        staged = Payloads(machines.userland).stage(check, scratch)
        disk = staged.image or scratch / "none"
        machine = machines.with_payload(machine, profile, disk, scratch / f"machine-{secrets.token_hex(4)}")
        wanted = replace(
            check,
            guest_modules=jobs.modules(job_of_it),
            limits=profile.limits or project.limits,
            env=(("PS1", rf"{profile.id}:\w\$ "), *check.env, ("TERM", terminal.name)),
        )
        parts = job.of_shell(wanted, staged, terminal.rows, terminal.columns)
        (evidence := scratch / "evidence").mkdir()
        deadline = time.monotonic() + boot_seconds
        if gdb:
            guest = _debugged(machine, disk, evidence, terminal.live, gdb, deadline)
        else:
            guest = bootimage.waiting_guest(machine, images.get(profile), disk, evidence, deadline, terminal.live)
        with guest:
            guest.begin(parts, time.monotonic() + boot_seconds)
            terminal.attached(guest.feed(terminal.source, terminal.typed))
            return guest.finish(job.FOREVER, job.FOREVER)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _debugged(
    machine: Machine, disk: Path, evidence: Path, live: guests.Live, gdb: Callable[[Path], None], deadline: float
) -> guests.Guest:
    """Return a guest that waits for its job, after a debugger has had its first instruction."""
    from bpfcompat.vm import machine as guests

    socket = evidence.parent / "gdb"
    # A kernel that moves itself would not stand where its debug file says.
    waiting = replace(machine, cmdline=f"{machine.cmdline} nokaslr".strip(), gdb=socket)
    guest = guests.start(waiting, disk, evidence, live=live)
    try:
        gdb(socket)
        guest.wait_ready(deadline)
    except BaseException:
        guest.stop()
        raise
    return guest

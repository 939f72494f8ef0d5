"""The doit tasks that build what guests are made of, in doit's words but without doit: tasks.py hands them over.

Every target's name holds the digest of what it is made of, so what exists is up to date; `file_dep`, by which doit would
hash a shared input once for each task, is not needed.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bpfcompat import architecture, kernels
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.model import Check, Job, Profile
from bpfcompat.report import Progress
from bpfcompat.workflow.session import Session
from bpfcompat.workflow.userland import Userland

Task = dict[str, Any]


@dataclass(frozen=True)
class Ready:
    """An `uptodate` item with a name that `doit info` can show. doit stops at an exception here, so there is none."""

    what: str
    check: Callable[[], bool]

    def __call__(self) -> bool:
        return self.check()

    def __repr__(self) -> str:
        return self.what


def _exists(session: Session, path: Callable[[Userland], Path | None]) -> Callable[[], bool]:
    """Return a question for `Ready`: whether what a task makes of every userland is there; what keeps that from being known means no."""

    def there() -> bool:
        try:
            found = [path(userland) for userland in session.machines.userlands.values()]
            return all(one is not None and one.exists() for one in found)
        except (BpfcompatError, OSError):
            return False

    return there


def _each(session: Session, make: Callable[[Userland], object]) -> Callable[[], None]:
    """Return an action that makes something of every userland of a run: there is one for each architecture."""

    def made() -> None:
        for userland in session.machines.userlands.values():
            make(userland)

    return made


def kit(session: Session, progress: Progress) -> Task:
    """Return the task that builds what every guest is made of; a wheel brings it along."""

    return {
        "basename": "kit",
        "doc": "build init, bash, busybox and the tools of the guests from pinned sources",
        "actions": [_each(session, lambda userland: userland.build_kit(progress.notice))],
        "uptodate": [Ready("built from these sources", _exists(session, _kit_folder))],
        "io": {"capture": False},
    }


def _kit_folder(userland: Userland) -> Path | None:
    return userland.kit.folder if userland.kit else None


def tools(session: Session) -> Task:
    """Return the task that packs the programs of every guest."""
    return {
        "basename": "tools",
        "doc": "pack bpftool, ip, tc and their libraries for the guests",
        "actions": [_each(session, Userland.pack_tools)],
        "uptodate": [Ready("packed from this kit", _exists(session, lambda userland: userland.tools_disk))],
        "task_dep": ["kit"],
        "io": {"capture": False},
    }


def rootfs(session: Session) -> Task:
    """Return the task that packs the project's own userland."""
    return {
        "basename": "rootfs",
        "doc": "pack the project's own userland as a disk",
        "actions": [_each(session, Userland.pack_rootfs)],
        "uptodate": [Ready("packed from exactly this", _exists(session, lambda userland: userland.rootfs_disk))],
        "clean": [_each(session, Userland.forget_rootfs)],
        "io": {"capture": False},
    }


def validator(session: Session, check: Check) -> Task:
    """Return the task that compiles the validator, for a check that needs it."""
    return {
        "basename": "validator",
        "doc": "compile what tries the objects that have no loader, if the user has a libbpf of their own",
        "actions": [_each(session, Userland.build_validator)],
        "task_dep": ["kit"],
        "uptodate": [Ready("it is there", _exists(session, lambda userland: userland.validator(check)))],
        "io": {"capture": False},
    }


def payloads(session: Session, after: Sequence[str]) -> Iterator[Task]:
    """Yield a task for each check's files.

    after: tasks that build these files.
    """
    needed_by: dict[str, list[Job]] = {}
    for job in session.jobs:
        needed_by.setdefault(_payload_name(session, job.check), []).append(job)
    for check in session.checks:
        wanted = needed_by.get(_payload_name(session, check), [])

        def prepared(wanted: list[Job] = wanted) -> bool:
            return all(session.is_cached(job) for job in wanted)

        def stage(check: Any = check) -> None:
            session.check_inputs()
            with contextlib.suppress(NoVerdict):  # told in the rows of its jobs
                session.payloads.stage(check, session.scratch)

        yield {
            "name": _payload_name(session, check),
            "doc": f"the files of the check '{check.name}'",
            "actions": [stage],
            "uptodate": [Ready("no kernel needs it", prepared)],
            "task_dep": [*after, *(["validator"] if check.validation else [])],
        }


def _payload_name(session: Session, check: Check) -> str:
    """Return what the task of a check's files is called: by the check, and where there are several architectures by that."""
    return f"{check.name}@{architecture.of(check.arch).name}" if len(session.machines.userlands) > 1 else check.name


def _leaders(session: Session, shared: Callable[[Profile], object]) -> dict[str, Profile]:
    """Return for each profile's id the first profile that shares something with it."""
    first: dict[object, Profile] = {}
    return {profile.id: first.setdefault(shared(profile), profile) for profile in session.project.matrix.profiles}


def by_kernel(session: Session) -> dict[str, Profile]:
    """Return for each profile's id the profile whose tasks bring its kernel."""
    return _leaders(session, session.machines.kernels.address)


def by_machine(session: Session) -> dict[str, Profile]:
    """Return for each profile's id the profile whose task saves its machine."""
    return _leaders(
        session,
        lambda profile: (session.machines.kernels.address(profile), profile.memory, profile.cpus, profile.cmdline),
    )


def fetches(session: Session, progress: Progress) -> Iterator[Task]:
    """Yield a task for each kernel."""
    for profile in dict.fromkeys(by_kernel(session).values()):

        def ready(profile: Profile = profile) -> bool:
            return session.machines.kernels.get(profile) is not None or session.boots_nothing()

        def fetch(profile: Profile = profile) -> None:
            with progress.doing(f"fetching {profile.id}"):
                session.machines.kernels.fetch(profile)

        yield {
            "name": profile.id,
            "doc": profile.kernel,
            "actions": [fetch],
            "uptodate": [Ready("in the store", ready)],
            # The next run asks the source for what is newest.
            "clean": [functools.partial(kernels.forget, profile, session.cache)],
        }


def initramfses(session: Session) -> Iterator[Task]:
    """Yield a task for each kernel's initramfs."""
    for profile in dict.fromkeys(by_kernel(session).values()):

        def ready(profile: Profile = profile) -> bool:
            kernel = session.machines.kernels.get(profile)
            try:
                path = session.machines.userland(profile.arch).initramfs(kernel) if kernel else None
            except BpfcompatError:
                return False
            return (path is not None and path.exists()) or session.boots_nothing()

        def pack(profile: Profile = profile) -> None:
            if kernel := session.machines.kernels.get(profile):
                session.machines.userland(profile.arch).pack_initramfs(kernel)

        yield {
            "name": profile.id,
            "doc": f"init, bash, busybox and modules for {profile.kernel}",
            "actions": [pack],
            "uptodate": [Ready("packed from these parts", ready)],
            "task_dep": ["kit", f"fetch:{profile.id}"],
        }


def accelerator(session: Session, progress: Progress) -> Task:
    """Return the task that finds out whether KVM works here."""

    def known() -> bool:
        try:
            return session.machines.accelerator() is not None or session.boots_nothing()
        except BpfcompatError:
            return False

    def probe() -> None:
        with progress.doing("trying KVM"):
            session.machines.probe_accelerator()

    return {
        "basename": "accelerator",
        "doc": "find out, by a boot, whether KVM works here",
        "actions": [probe],
        "uptodate": [Ready("found out before", known)],
        "task_dep": [
            "tools",
            *(["rootfs"] if session.project.rootfs else []),
            f"initramfs:{session.project.matrix.profiles[0].id}",
        ],
        "io": {"capture": False},
    }


def cluster(session: Session) -> Task:
    """Return the task that connects to the machines on which jobs run."""

    def connect() -> None:
        if session.elsewhere:
            session.elsewhere.connect()

    def unneeded() -> bool:
        return all(session.is_cached(job) for job in session.jobs) or session.boots_nothing()

    return {
        "basename": "cluster",
        "doc": "connect to the cluster on which the jobs run",
        "actions": [connect],
        "uptodate": [Ready("no job needs it", unneeded)],
        "task_dep": ["kit", "accelerator"],
        "io": {"capture": False},
    }


def boot_images(session: Session, progress: Progress) -> Iterator[Task]:
    """Yield a task for each machine that is saved."""
    names, leaders = by_kernel(session), by_machine(session)
    needed_by: dict[str, list[Job]] = {}
    for job in session.jobs_by_urgency:
        needed_by.setdefault(leaders[job.profile.id].id, []).append(job)
    for name, wanted in needed_by.items():
        profile = leaders[name]

        def ready(profile: Profile = profile, wanted: list[Job] = wanted) -> bool:
            idle = all(session.is_cached(job) or session.payloads.is_refused(job.check) for job in wanted)
            return idle or session.boot_images.is_ready(profile)

        def save(profile: Profile = profile) -> None:
            with progress.doing(f"booting {profile.id}"):
                session.boot_images.save(profile, session.boot_seconds(profile))

        yield {
            "name": profile.id,
            "doc": f"{profile.kernel} with {profile.memory} MiB, waiting for a command",
            "actions": [save],
            "uptodate": [Ready("saved from these parts, or no kernel needs it", ready)],
            "clean": [functools.partial(session.boot_images.drop, profile)],
            # Not before the loader is known to be one that can run.
            "task_dep": [payload_of(session, wanted[0]), "accelerator", f"initramfs:{names[profile.id].id}"],
        }


def payload_of(session: Session, job: Job) -> str:
    """Return the task whose end lets a job go on.

    doit starts what has waited for the same task in any order. A group ends one step after its members, so what waits for
    the group comes behind what waits for a member: what did not pass last time.
    """
    return f"payload:{_payload_name(session, job.check)}" if job.name in session.failed else "payload"

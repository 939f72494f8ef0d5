"""Session -> doit tasks. With engine.py the only place that knows doit.

doit plans, orders, runs in parallel, skips and reports; it stores nothing. Its own database is written only at the end
of a run, is lost to a SIGTERM, and drops the values of a failing task, so it is kept in memory. Every target's name
holds the digest of what it is made of, so a target that exists is up to date, and `file_dep`, which would hash a
shared input once for each task, is not needed.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doit.exceptions import InvalidDodoFile, TaskError, TaskFailed
from doit.reporter import ConsoleReporter

from bpfcompat import config, host, kernels, processes
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.model import Check, Job, Profile, Project, Run, Status, Target
from bpfcompat.report import gate, output
from bpfcompat.report.progress import Progress
from bpfcompat.session import Session

Task = dict[str, Any]
Finish = Callable[[Run], None]
"""Called with all that was found out, at the end: writes and prints the reports."""


def doit_config(project: Path) -> dict[str, Any]:
    """Return DOIT_CONFIG for the project in a folder."""
    return {**settings(_load(project).matrix.profiles), "reporter": _Reporter}


def doit_tasks(project: Path, after: Sequence[str] = ()) -> Iterator[Task]:
    """Yield the tasks of the project in a folder; a mistake in it is one sentence and doit's exit code 3.

    after: tasks of the same dodo.py that build what the project ships.
    """
    progress = Progress(sys.stdout)
    session = Session(_load(project), notice=progress.notice)
    try:
        session.machines.check_locks()
    except BpfcompatError as error:
        raise InvalidDodoFile(str(error)) from error
    yield from tasks(session, lambda run: output.write(run, output.Wanted()), progress, after)


@functools.cache
def _load(folder: Path) -> Project:
    try:
        return config.load_project(folder)
    except BpfcompatError as error:
        raise InvalidDodoFile(str(error)) from error


def at_once(profiles: tuple[Profile, ...], jobs: int | None) -> int:
    """Return how many guests run at once: `jobs`, or as many as this machine can carry."""
    return jobs or host.jobs(max(profile.memory for profile in profiles))


def settings(profiles: tuple[Profile, ...], jobs: int | None = None) -> dict[str, Any]:
    """Return the DOIT_CONFIG under which these tasks work."""
    return {
        "backend": "sqlite3",
        "dep_file": ":memory:",
        "par_type": "thread",
        "num_process": at_once(profiles, jobs),
        "verbosity": 2,
        "default_tasks": ["report"],
    }


@dataclass
class _Selection:
    """What the user asked doit for; with `doit run kernel:x` there is no report to fail the run."""

    progress: Progress
    abandon: Callable[[], None]
    """Reports what is known of a run that was interrupted."""
    report: bool = True


def begin(tasks: dict[str, Any], selected: Sequence[str]) -> _Selection:
    """Make doit's tasks ready for a run, whose reporter calls this.

    tasks: by name, as doit has them.
    selected: the names that the user asked for.
    """
    selection: _Selection = tasks["report"].meta["selection"]
    selection.report = "report" in selected
    if selection.report:
        # doit's queue is first in, first out: without this every image would be made before the first job runs.
        images = [task for name, task in tasks.items() if name.startswith("bootimage:")]
        at_once = tasks["report"].meta["at once"]
        for earlier, later in zip(images, images[at_once:], strict=False):
            later.task_dep.append(earlier.name)
    return selection


class _Reporter(ConsoleReporter):  # type: ignore[misc]  # doit has no types
    """doit's own reporter, whose lines go above the one that says what goes on, and who sees to a run's end."""

    def initialize(self, tasks: Any, selected_tasks: Any) -> None:
        self._selection = begin(tasks, selected_tasks)
        self._open = contextlib.ExitStack()
        self._open.enter_context(processes.interruptible())
        super().initialize(tasks, selected_tasks)

    def write(self, text: str) -> None:
        self._selection.progress.write(text)

    def complete_run(self) -> None:
        """Called by doit at the end of every run, also while a KeyboardInterrupt is on its way, which it would print."""
        with self._open:
            if processes.interrupted():
                processes.stop_all()
                self._selection.abandon()
                sys.stderr.write("bpfcompat: interrupted\n")
                raise SystemExit(processes.INTERRUPTED_STATUS)
            super().complete_run()


@dataclass(frozen=True)
class _Ready:
    """An `uptodate` item with a name that `doit info` can show. doit stops at an exception here, so there is none."""

    what: str
    check: Callable[[], bool]

    def __call__(self) -> bool:
        return self.check()

    def __repr__(self) -> str:
        return self.what


def tasks(session: Session, finish: Finish, progress: Progress, after: Sequence[str] = ()) -> Iterator[Task]:
    """Yield the doit tasks of a session: init, tools, payload, fetch, initramfs, accelerator, bootimage, kernel, report."""

    def abandon() -> None:
        finish(session.finish())
        session.close()

    selection = _Selection(progress, abandon)
    progress.total = len(session.jobs)
    yield _init(session)
    yield _tools(session)
    objects = [check for check in session.project.checks if check.validation]
    if objects:
        yield _validator(session, objects[0])
    yield from _group("payload", "copy, hash and pack what a check brings", _payloads(session, after))
    yield from _group("fetch", "bring kernels into the store", _fetches(session, progress))
    yield from _group("initramfs", "pack the guest's userland with a kernel's modules", _initramfses(session))
    yield _accelerator(session, progress)
    if session.machines.warm:
        ready = {name: f"bootimage:{profile.id}" for name, profile in _machines(session).items()}
        yield from _group(
            "bootimage", "boot each machine once and save it, ready to run", _boot_images(session, progress)
        )
    else:
        ready = {name: f"initramfs:{profile.id}" for name, profile in _kernels(session).items()}
    yield from _group(
        "kernel",
        "run the command on every kernel of the matrix",
        (_kernel(session, job, ready[job.profile.id], selection) for job in session.jobs_by_urgency),
    )
    yield _report(session, finish, selection)


def _group(name: str, doc: str, members: Iterator[Task]) -> Iterator[Task]:
    yield {"basename": name, "name": None, "doc": doc}
    for member in members:
        yield {"basename": name, "io": {"capture": False}, **member}


def _sentence(action: Callable[[], Any]) -> Callable[[], Any]:
    """Turn the user's mistakes into doit's failures, without a traceback."""

    @functools.wraps(action)
    def run() -> Any:
        try:
            action()
        except BpfcompatError as error:
            return TaskFailed(str(error))
        except OSError as error:
            return TaskFailed(f"{error.filename or 'a file'} cannot be written: {error.strerror}.")
        return True

    return run


def _init(session: Session) -> Task:
    return {
        "basename": "init",
        "doc": "compile the guest's first process",
        "actions": [_sentence(session.machines.build_init)],
        "targets": [str(session.machines.init)],
        "uptodate": [_Ready("compiled from this source", session.machines.init.exists)],
        "clean": True,
        "io": {"capture": False},
    }


def _tools(session: Session) -> Task:
    def packed() -> bool:
        try:
            return session.machines.tools_disk.exists()
        except (BpfcompatError, OSError):
            return False

    return {
        "basename": "tools",
        "doc": "pack bpftool, ip, tc and their libraries for the guests",
        "actions": [_sentence(session.machines.pack_tools)],
        "uptodate": [_Ready("packed from these files", packed)],
        "io": {"capture": False},
    }


def _validator(session: Session, check: Check) -> Task:
    def compiled() -> bool:
        try:
            path = session.machines.validator(check)
        except (BpfcompatError, OSError):
            return False
        return path is not None and path.exists()

    return {
        "basename": "validator",
        "doc": "compile what tries the objects that have no loader",
        "actions": [_sentence(session.machines.build_validator)],
        "uptodate": [_Ready("compiled from this source and this libbpf", compiled)],
        "io": {"capture": False},
    }


def _payloads(session: Session, after: Sequence[str]) -> Iterator[Task]:
    needed_by: dict[str, list[Job]] = {}
    for job in session.jobs:
        needed_by.setdefault(job.check.name, []).append(job)
    for check in session.project.checks:
        wanted = needed_by.get(check.name, [])

        def prepared(wanted: list[Job] = wanted) -> bool:
            return all(_is_cached(session, job) for job in wanted)

        def stage(check: Any = check) -> None:
            session.check_inputs()
            with contextlib.suppress(NoVerdict):  # told in the rows of its jobs
                session.stage_payload(check)

        yield {
            "name": check.name,
            "doc": f"the files of the check '{check.name}'",
            "actions": [_sentence(stage)],
            "uptodate": [_Ready("no kernel needs it", prepared)],
            "task_dep": [*after, *(["validator"] if check.validation else [])],
        }


def _is_cached(session: Session, job: Job) -> bool:
    try:
        return session.cached(job) is not None
    except (BpfcompatError, OSError):
        return False


def _leaders(session: Session, shared: Callable[[Profile], object]) -> dict[str, Profile]:
    """Return for each profile's id the first profile that shares something with it."""
    first: dict[object, Profile] = {}
    return {profile.id: first.setdefault(shared(profile), profile) for profile in session.project.matrix.profiles}


def _kernels(session: Session) -> dict[str, Profile]:
    return _leaders(session, session.machines.address)


def _machines(session: Session) -> dict[str, Profile]:
    return _leaders(
        session, lambda profile: (session.machines.address(profile), profile.memory, profile.cpus, profile.cmdline)
    )


def _fetches(session: Session, progress: Progress) -> Iterator[Task]:
    for profile in dict.fromkeys(_kernels(session).values()):

        def ready(profile: Profile = profile) -> bool:
            return session.machines.kernel(profile) is not None or session.boots_nothing()

        def fetch(profile: Profile = profile) -> None:
            with progress.doing(f"fetching {profile.id}"):
                session.machines.fetch_kernel(profile)

        yield {
            "name": profile.id,
            "doc": profile.kernel,
            "actions": [fetch],
            "uptodate": [_Ready("in the store", ready)],
            # The next run asks the source for what is newest.
            "clean": [(kernels.forget, [profile, session.machines.cache])],
        }


def _initramfses(session: Session) -> Iterator[Task]:
    for profile in dict.fromkeys(_kernels(session).values()):

        def ready(profile: Profile = profile) -> bool:
            try:
                path = session.machines.initramfs(profile)
            except BpfcompatError:
                return False
            return (path is not None and path.exists()) or session.boots_nothing()

        def pack(profile: Profile = profile) -> None:
            session.machines.pack_initramfs(profile)

        yield {
            "name": profile.id,
            "doc": f"init, bash, busybox and modules for {profile.kernel}",
            "actions": [_sentence(pack)],
            "uptodate": [_Ready("packed from these parts", ready)],
            "task_dep": ["init", f"fetch:{profile.id}"],
        }


def _accelerator(session: Session, progress: Progress) -> Task:
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
        "actions": [_sentence(probe)],
        "uptodate": [_Ready("found out before", known)],
        "task_dep": ["tools", f"initramfs:{session.project.matrix.profiles[0].id}"],
        "io": {"capture": False},
    }


def _boot_images(session: Session, progress: Progress) -> Iterator[Task]:
    names, leaders = _kernels(session), _machines(session)
    needed_by: dict[str, list[Job]] = {}
    for job in session.jobs_by_urgency:
        needed_by.setdefault(leaders[job.profile.id].id, []).append(job)
    for name, wanted in needed_by.items():
        profile = leaders[name]

        def ready(profile: Profile = profile, wanted: list[Job] = wanted) -> bool:
            idle = all(_is_cached(session, job) or session.is_refused(job.check) for job in wanted)
            return idle or session.machines.has_boot_image(profile)

        def save(profile: Profile = profile) -> None:
            with progress.doing(f"booting {profile.id}"):
                session.machines.save_boot_image(profile, session.boot_seconds)

        yield {
            "name": profile.id,
            "doc": f"{profile.kernel} with {profile.memory} MiB, waiting for a command",
            "actions": [_sentence(save)],
            "uptodate": [_Ready("saved from these parts, or no kernel needs it", ready)],
            "clean": [_sentence(functools.partial(session.machines.drop_boot_image, profile))],
            # Not before the loader is known to be one that can run.
            "task_dep": [_payload_of(session, wanted[0]), "accelerator", f"initramfs:{names[profile.id].id}"],
        }


def _payload_of(session: Session, job: Job) -> str:
    """Return the task whose end lets a job go on.

    doit starts what has waited for the same task in any order. A group ends one step after its members, so what waits for
    the group comes behind what waits for a member: what did not pass last time.
    """
    return f"payload:{job.check.name}" if job.name in session.failed else "payload"


def _kernel(session: Session, job: Job, ready: str, selection: _Selection) -> Task:
    """A kernel's task succeeds when its outcome is recorded; the report fails the run, or this does if there is none."""

    def run() -> Any:
        with selection.progress.doing(f"running {job.name}"):
            record = session.run(job)
        selection.progress.row(Target(job, record))
        if selection.report or not job.profile.required or record.verdict.status is Status.PASS:
            return True
        failure = TaskFailed if record.verdict.status is Status.FAIL else TaskError
        return failure(record.verdict.reason, report=False)

    def stored() -> bool:
        taken = session.take_cached(job, passed=not selection.report and job.profile.required)
        if taken:
            selection.progress.stored()
        return taken

    return {
        "name": job.name,
        "doc": job.profile.kernel,
        "actions": [run],
        "uptodate": [_Ready("a verdict of exactly these inputs is stored", stored)],
        "task_dep": [_payload_of(session, job), "accelerator", ready],
        "clean": [_sentence(functools.partial(_forget, session, job))],
    }


def _forget(session: Session, job: Job) -> None:
    """Drop the stored verdict of a job's present inputs."""
    record = session.cached(job)
    if record:
        session.store.forget(record.key)


def _report(session: Session, finish: Finish, selection: _Selection) -> Task:
    def report() -> Any:
        run = session.finish()
        session.close()
        finish(run)
        status = gate.summarize(run).status
        if status is Status.FAIL:
            return TaskFailed("a required kernel failed", report=False)
        if status is Status.INFRA_ERROR:
            return TaskError("a required kernel has no verdict", report=False)
        return True

    return {
        "basename": "report",
        "doc": "print the table and write report.json (runs whatever it needs)",
        "actions": [report],
        "task_dep": ["kernel"],
        "uptodate": [False],
        "clean": [_sentence(functools.partial(_forget, session, job)) for job in session.jobs],
        "io": {"capture": False},
        "verbosity": 2,
        "meta": {"selection": selection, "at once": at_once(session.project.matrix.profiles, session.options.jobs)},
    }

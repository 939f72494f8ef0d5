"""Session -> doit tasks. With through_doit.py the only place that knows doit.

doit plans, orders, runs in parallel, skips and reports; it stores nothing. Its own database is written only at the end
of a run, is lost to a SIGTERM, and drops the values of a failing task, so it is kept in memory.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from doit.exceptions import InvalidDodoFile, TaskError, TaskFailed
from doit.reporter import ConsoleReporter

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Job, Profile, Project
from bpfcompat.outcome import Run, Status, Target
from bpfcompat.project import load_project
from bpfcompat.report import Progress, gate, output
from bpfcompat.system import host, processes
from bpfcompat.workflow import builds
from bpfcompat.workflow.builds import Task
from bpfcompat.workflow.cluster import choice
from bpfcompat.workflow.session import Options, Session

_WAITING = 512
"""Jobs that a cluster is given at once at most; each waits in a thread of its own."""

_NO_TURN = contextlib.nullcontext()
Finish = Callable[[Run], None]
"""Called with all that was found out, at the end: writes and prints the reports."""


def doit_config(project: Path) -> dict[str, Any]:
    """Return DOIT_CONFIG for the project in a folder."""
    found = _load(project)
    there = choice.settings(found, Options()) is not None
    return {**settings(found.matrix.profiles, elsewhere=there), "reporter": _Reporter}


def doit_tasks(project: Path, after: Sequence[str] = ()) -> Iterator[Task]:
    """Yield the tasks of the project in a folder; a mistake in it is one sentence and doit's exit code 3.

    after: tasks of the same dodo.py that build what the project ships.
    """
    progress = Progress(sys.stdout)
    session = Session(_load(project), notice=progress.notice)
    choice.attach(session)
    try:
        session.machines.kernels.check_locks()
    except BpfcompatError as error:
        raise InvalidDodoFile(str(error)) from error
    yield from tasks(session, lambda run: output.write(run, output.Wanted()), progress, after)


@functools.cache
def _load(folder: Path) -> Project:
    try:
        return load_project(folder)
    except BpfcompatError as error:
        raise InvalidDodoFile(str(error)) from error


def at_once(profiles: tuple[Profile, ...], jobs: int | None) -> int:
    """Return how many guests run at once: `jobs`, or as many as this machine can carry."""
    return jobs or host.jobs(max(profile.memory for profile in profiles))


def settings(profiles: tuple[Profile, ...], jobs: int | None = None, *, elsewhere: bool = False) -> dict[str, Any]:
    """Return the DOIT_CONFIG under which these tasks work.

    elsewhere: machines run on a cluster, so that many jobs wait here for theirs.
    """
    return {
        "backend": "sqlite3",
        "dep_file": ":memory:",
        "par_type": "thread",
        "num_process": _WAITING if elsewhere else at_once(profiles, jobs),
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


def tasks(session: Session, finish: Finish, progress: Progress, after: Sequence[str] = ()) -> Iterator[Task]:
    """Yield the doit tasks of a session: kit, tools, payload, fetch, initramfs, accelerator, bootimage, kernel, report."""

    def abandon() -> None:
        finish(session.finish())
        session.close()

    selection = _Selection(progress, abandon)
    progress.total = len(session.jobs)
    # However many jobs wait for a cluster, what is made on this machine is made a few at once.
    few = threading.BoundedSemaphore(at_once(session.project.matrix.profiles, session.options.jobs))
    built = functools.partial(_built, turn=few if session.elsewhere else _NO_TURN)
    yield built(builds.kit(session, progress))
    yield built(builds.tools(session))
    if session.project.rootfs:
        yield built(builds.rootfs(session))
    objects = [check for check in session.project.checks if check.validation]
    if objects:
        yield built(builds.validator(session, objects[0]))
    for name, doc, members in (
        ("payload", "copy, hash and pack what a check brings", builds.payloads(session, after)),
        ("fetch", "bring kernels into the store", builds.fetches(session, progress)),
        ("initramfs", "pack the guest's userland with a kernel's modules", builds.initramfses(session)),
    ):
        yield from _group(name, doc, map(built, members))
    yield built(builds.accelerator(session, progress))
    kernel_of = {name: f"initramfs:{profile.id}" for name, profile in builds.by_kernel(session).items()}
    if session.elsewhere:
        yield built(builds.cluster(session))
        ready = {name: ["cluster", kernel] for name, kernel in kernel_of.items()}
    elif session.warm:
        ready = {name: [f"bootimage:{profile.id}"] for name, profile in builds.by_machine(session).items()}
        yield from _group(
            "bootimage", "boot each machine once and save it", map(built, builds.boot_images(session, progress))
        )
    else:
        ready = {name: [kernel] for name, kernel in kernel_of.items()}
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


def _built(task: Task, turn: contextlib.AbstractContextManager[Any]) -> Task:
    """Return a task of builds.py with doit's way to fail.

    turn: held while it is at work.
    """
    clean = task.get("clean", [])
    return {
        **task,
        "actions": [_sentence(action, turn) for action in task["actions"]],
        "clean": [_sentence(action) for action in clean] if isinstance(clean, list) else clean,
    }


def _sentence(action: Callable[[], Any], turn: contextlib.AbstractContextManager[Any] = _NO_TURN) -> Callable[[], Any]:
    """Turn the user's mistakes into doit's failures, without a traceback."""

    @functools.wraps(action)
    def run() -> Any:
        try:
            with turn:
                action()
        except BpfcompatError as error:
            return TaskFailed(str(error))
        except OSError as error:
            return TaskFailed(f"{error.filename or 'a file'} cannot be written: {error.strerror}.")
        return True

    return run


def _kernel(session: Session, job: Job, ready: list[str], selection: _Selection) -> Task:
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
        "uptodate": [builds.Ready("a verdict of exactly these inputs is stored", stored)],
        "task_dep": [builds.payload_of(session, job), "accelerator", *ready],
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

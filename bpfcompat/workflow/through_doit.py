"""Running a session's tasks through doit, for the ways in that are not doit itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from doit.cmd_base import ModuleTaskLoader
from doit.cmd_run import Run as RunCommand
from doit.dependency import SqliteDB
from doit.doit_cmd import DoitMain
from doit.plugin import PluginDict
from doit.reporter import ZeroReporter

from bpfcompat.errors import BpfcompatError
from bpfcompat.outcome import Run
from bpfcompat.report import Progress
from bpfcompat.workflow import builds, tasks
from bpfcompat.workflow.session import Session


def _collector(failures: list[str]) -> type[ZeroReporter]:
    """Return a reporter that says nothing and keeps what failed; rows are told by the session."""

    class Failures(ZeroReporter):  # type: ignore[misc]  # doit has no types
        def initialize(self, all_tasks: Any, selected: Any) -> None:
            tasks.begin(all_tasks, selected)

        def add_failure(self, task: Any, fail: Any) -> None:  # noqa: ARG002
            if fail.report:
                failures.append(str(fail.message).strip())

    return Failures


class _RunCommand(RunCommand):  # type: ignore[misc]
    """doit's `run` with what it is told, not with plugins: to look for them it reads what pip knows of every package."""

    def get_reporters(self) -> dict[str, Any]:
        return {}

    def get_backends(self) -> dict[str, Any]:
        return {"sqlite3": SqliteDB}


class _Main(DoitMain):  # type: ignore[misc]
    def get_cmds(self) -> Any:
        return PluginDict(run=_RunCommand)


def run(session: Session, progress: Progress) -> Run:
    """Do whatever a session still lacks and return what was found out.

    progress: tells how it goes on.
    Raises BpfcompatError for what kept doit from running the tasks.
    """
    found: list[Run] = []
    failures: list[str] = []

    def task_bpfcompat() -> Iterator[builds.Task]:
        yield from tasks.tasks(session, found.append, progress)

    config = {
        **tasks.settings(
            session.project.matrix.profiles, session.options.jobs, elsewhere=session.elsewhere is not None
        ),
        "reporter": _collector(failures),
        "verbosity": 0,
    }
    # Without config_filenames=() doit would read the pyproject.toml of whatever folder we are called in.
    loader = ModuleTaskLoader({"DOIT_CONFIG": config, "task_bpfcompat": task_bpfcompat})
    _Main(loader, config_filenames=()).run(["run"])
    if not found:
        raise BpfcompatError(failures[0] if failures else "doit could not run the tasks; its words are above.")
    return found[0]

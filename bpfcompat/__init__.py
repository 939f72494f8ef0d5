"""Does my real eBPF loader come up on this kernel?

project = load_project(Path("bpfcompat.yaml"))
jobs = plan(project)
result = run(project)
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpfcompat import dataclass  # noqa: F401 - before anything else imports the standard library's
from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Check, Expectation, Job, Matrix, Profile, Project
from bpfcompat.outcome import Outcome, Record, Run, Status, Target, Verdict

if TYPE_CHECKING:
    from bpfcompat.project import load_project
    from bpfcompat.workflow import Options, plan

__all__ = [
    "BpfcompatError", "Check", "Expectation", "Job", "Matrix", "Options", "Outcome", "Profile", "Project", "Record", "Run",
    "Status", "Target", "Verdict", "load_project", "plan", "run",
]  # fmt: skip

_ROOMS = {"load_project": "project", "plan": "workflow", "Options": "workflow"}


def __getattr__(name: str) -> Any:
    """Import what is slow to import when it is asked for: everything in the package imports this module first."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)


def run(project: Project, options: Options | None = None, cache: Path | None = None) -> Run:
    """Run what has no stored verdict yet and return everything that is known.

    options: how to run; None means the defaults.
    cache: the folder for kernels and guests; None means the user's.
    Raises BpfcompatError for a mistake in the inputs, before anything boots.
    """
    from bpfcompat.system import processes
    from bpfcompat.workflow import Options as Defaults
    from bpfcompat.workflow import Session, engine

    session = Session(project, options or Defaults(), cache)
    try:
        return engine.run(session)
    finally:
        session.close()
        processes.stop_all()

"""Does my real eBPF loader come up on this kernel?

project = load_project(Path("bpfcompat.yaml"))
jobs = plan(project)
result = run(project)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bpfcompat.errors import BpfcompatError
from bpfcompat.model import (
    Check,
    Expectation,
    Job,
    Matrix,
    Outcome,
    Profile,
    Project,
    Record,
    Run,
    Status,
    Target,
    Verdict,
)
from bpfcompat.project.config import load_project
from bpfcompat.workflow.jobs import plan

if TYPE_CHECKING:
    from bpfcompat.workflow.session import Options

__all__ = [
    "BpfcompatError", "Check", "Expectation", "Job", "Matrix", "Outcome", "Profile", "Project", "Record", "Run", "Status",
    "Target", "Verdict", "load_project", "plan", "run",
]  # fmt: skip


def run(project: Project, options: Options | None = None, cache: Path | None = None) -> Run:
    """Run what has no stored verdict yet and return everything that is known.

    options: how to run; None means the defaults.
    cache: the folder for kernels and guests; None means the user's.
    Raises BpfcompatError for a mistake in the inputs, before anything boots.
    """
    from bpfcompat.system import processes
    from bpfcompat.workflow import engine
    from bpfcompat.workflow.session import Options as Defaults
    from bpfcompat.workflow.session import Session

    session = Session(project, options or Defaults(), cache)
    try:
        return engine.run(session)
    finally:
        session.close()
        processes.stop_all()

"""Bringing a session about: nothing is done where every verdict is stored already, and doit does what is missing."""

from __future__ import annotations

import io

from bpfcompat.outcome import Run
from bpfcompat.report import Progress
from bpfcompat.workflow.cluster import choice
from bpfcompat.workflow.session import Session


def run(session: Session, progress: Progress | None = None) -> Run:
    """Do whatever a session still lacks and return what was found out.

    progress: tells how it goes on; None tells nothing.
    Raises BpfcompatError for inputs that are missing, before anything boots. KeyboardInterrupt passes through;
    `session.finish()` then tells what is known.
    """
    choice.attach(session)
    session.check_inputs()
    if all(map(session.is_cached, session.jobs)) and all(map(session.take_cached, session.jobs)):
        return session.finish()
    session.expect_machines(job for job in session.jobs_by_urgency if not session.is_cached(job))
    from bpfcompat.workflow import through_doit  # doit takes longer to import than all of the above takes

    return through_doit.run(session, progress or Progress(io.StringIO()))

"""A project at work: jobs with their content keys, what they still need, and the doit tasks that bring it about.

In comes a `Project`; out comes a `Run`: one record a job, stored or new. doit is known to `tasks` and `through_doit` alone.
`programs` runs one program without any of that, so the rest is loaded when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpfcompat.workflow.jobs import plan
    from bpfcompat.workflow.session import Options, Session
    from bpfcompat.workflow.standby import Standby

__all__ = [
    "Options",
    "Session",
    "Standby",
    "ahead",
    "doctor",
    "engine",
    "explain",
    "keys",
    "plan",
    "probing",
    "programs",
    "shells",
    "tasks",
    "transfer",
    "trying",
]

_FROM = {"Options": "options", "Session": "session", "Standby": "standby", "plan": "jobs"}


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FROM[name]}"), name)

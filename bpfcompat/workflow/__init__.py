"""A project at work: jobs with their content keys, what they still need, and the doit tasks that bring it about.

In comes a `Project`; out comes a `Run`: one record a job, stored or new. doit is known to `tasks` and `engine` alone.
"""

from bpfcompat.workflow.jobs import plan
from bpfcompat.workflow.session import Options, Session

__all__ = ["Options", "Session", "doctor", "engine", "explain", "plan", "probing", "tasks", "transfer"]

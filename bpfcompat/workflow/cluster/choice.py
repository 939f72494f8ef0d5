"""Whether a run's jobs run on a cluster, and on which."""

from __future__ import annotations

import os
from dataclasses import replace

from bpfcompat.model import ClusterSettings, Project
from bpfcompat.workflow.options import Options
from bpfcompat.workflow.session import Session

VARIABLE = "BPFCOMPAT_CLUSTER"


def settings(project: Project, options: Options) -> ClusterSettings | None:
    """Return the cluster on which a project's jobs run, or None: by flag, else environment, else project; empty is none."""
    said = options.cluster if options.cluster is not None else os.environ.get(VARIABLE)
    if said is None:
        return project.cluster
    return replace(project.cluster or ClusterSettings(said), address=said) if said else None


def attach(session: Session) -> None:
    """Have a session's jobs run on a cluster, if that is what the project, the options or the environment say."""
    where = settings(session.project, session.options)
    if where and session.elsewhere is None:
        from bpfcompat.workflow.cluster.elsewhere import Workers  # which few runs need

        session.elsewhere = Workers(where, session)

"""What a dodo.py imports: this folder's project as doit's tasks."""

from bpfcompat.workflow import tasks

__all__ = ["doit_config", "doit_tasks"]

doit_config = tasks.doit_config
doit_tasks = tasks.doit_tasks

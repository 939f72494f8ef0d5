"""What a dodo.py imports: this folder's project as doit's tasks."""

from bpfcompat.workflow.tasks import doit_config, doit_tasks

__all__ = ["doit_config", "doit_tasks"]

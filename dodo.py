"""doit runs this folder's bpfcompat.yaml: `doit`, `doit list --all --status`, `doit run kernel:debian-12-6.1`, `doit -n 4`."""

from pathlib import Path

from bpfcompat.tasks import doit_config, doit_tasks

DOIT_CONFIG = doit_config(Path(__file__).parent)


def task_loader():
    return {"actions": ["make -s -C examples/ringbuf"], "doc": "build the example's loader"}


def task_bpfcompat():
    yield from doit_tasks(Path(__file__).parent, after=["loader"])

"""What a coordinator and its workers say to each other."""

from __future__ import annotations

from pathlib import Path

from bpfcompat.dataclass import dataclass
from bpfcompat.guest import LAYOUT, PROTOCOL
from bpfcompat.model import VERSION, Job, Kernel, Payload, Project
from bpfcompat.outcome import Record
from bpfcompat.system import digest
from bpfcompat.workflow.jobs import KEY_FORMAT
from bpfcompat.workflow.options import Options


@dataclass(frozen=True)
class Parcel:
    """A file or folder that a worker needs, known by its name."""

    name: str
    """Where a worker has it: below its cache (`kernels/...`, `rootfs/...`), or below the run's folder (`payloads/...`)."""
    source: Path
    """Where the coordinator has it."""
    without: str = ""
    """What the names of files begin with that are no part of it."""


@dataclass(frozen=True)
class Order:
    """One job, with all that a worker has to know of the run that it is of."""

    run: str
    """The run's id."""
    project: Project
    """The coordinator's, with this check and this profile alone."""
    options: Options
    job: Job
    kernel: Kernel
    """As the coordinator has it: a worker goes by its digests."""
    payload: Payload
    rootfs: str | None
    """Identity of the project's own userland."""
    parcels: tuple[Parcel, ...]


@dataclass(frozen=True)
class Ready:
    """A machine that was booted and saved on a worker; it stays there."""

    worker: str
    """Its address."""
    size_bytes: int

    def __sizeof__(self) -> int:
        """Return what it would take to have the same elsewhere: by this dask weighs moving a job against waiting."""
        return self.size_bytes


@dataclass(frozen=True)
class Lacks:
    """A worker cannot begin: it needs these parcels first."""

    worker: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Trouble:
    """A worker failed at something that is not the job's fault."""

    worker: str
    host: str
    why: str


@dataclass(frozen=True)
class Answer:
    """A job's record and evidence."""

    worker: str
    host: str
    """What people know the worker by."""
    record: Record
    evidence: bytes
    """The folder of the evidence, as `tar.gz`."""
    notices: tuple[str, ...]


def same_version() -> str:
    """Return the name of what all workers of a run must have in common, as a resource that they offer."""
    return f"bpfcompat {digest.of_json([VERSION, KEY_FORMAT, PROTOCOL, LAYOUT])[:12]}"

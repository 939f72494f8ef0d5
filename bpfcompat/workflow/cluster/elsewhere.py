"""A run's jobs, run by the workers of a cluster: what a session calls instead of running them itself."""

from __future__ import annotations

import io
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.model import ClusterSettings, Job, Kernel, Matrix, Payload
from bpfcompat.outcome import Classification, Record
from bpfcompat.system import processes
from bpfcompat.workflow import jobs
from bpfcompat.workflow.cluster.order import Answer, Order, Parcel
from bpfcompat.workflow.session import Session

if TYPE_CHECKING:
    from bpfcompat.workflow.cluster.coordinator import Cluster

_OF_THE_WORKER = ("kit", "guest layout", "accelerator")
"""Parts of a key in which a worker may differ from the machine that started the run: then the record has a key of its own."""


class Workers:
    """The workers of one run. Methods are called from several threads."""

    def __init__(self, where: ClusterSettings, session: Session) -> None:
        """Nothing is connected yet."""
        self._where, self._project, self._options = where, session.project, session.options
        self._machines, self._store, self._run = session.machines, session.store, session.id
        self._lock = threading.Lock()
        self._open = ExitStack()
        self.cluster: Cluster | None = None
        self.moved: Counter[str] = Counter()
        """Bytes, as the cluster counts them; told when it is left."""

    def connect(self) -> Cluster:
        """Connect to the cluster, unless that is done; raises BpfcompatError."""
        from bpfcompat.workflow.cluster.coordinator import Cluster

        with self._lock:
            if self.cluster is None:
                self.cluster = Cluster(self._where, self._demands(), self._machines.notice)
                self._open.callback(self.cluster.close, self._run)
                self._open.enter_context(processes.stopped_by(self.cluster.cancel))
            return self.cluster

    def _demands(self) -> list[str]:
        kit = self._machines.userland("").kit
        return [f"kit {kit.identity[:16]}"] if self._where.same and kit else []

    def run(self, job: Job, kernel: Kernel, staged: Payload, parts: dict[str, Any]) -> Record:
        """Run a job on a worker and bring its record and evidence here; raises NoVerdict.

        parts: what its key is made of here.
        """
        answer = self.connect().run(self._order(job, kernel, staged))
        record = answer.record
        other = [name for name in parts if record.key_parts.get(name) != parts[name] and name not in _OF_THE_WORKER]
        if record.key and (other or jobs.key(record.key_parts) != record.key):
            raise NoVerdict(
                Classification.HOST_FAILURE, f"the worker {answer.host} ran something else: {', '.join(other) or 'its key'}.",
                "run the same version of bpfcompat on all machines",
            )  # fmt: skip
        if self._where.same and record.key and record.accelerator != parts["accelerator"]:
            raise NoVerdict(
                Classification.HOST_FAILURE,
                f"the worker {answer.host} runs machines by {record.accelerator}, and the project asks for workers that are the same.",
                f"take it out of the cluster, write `accel: {parts['accelerator']}`, or leave `same: true` out",
            )
        evidence = self._unpacked(answer) if record.evidence else None
        return replace(record, job=job.name, run_id=self._run, evidence=evidence, worker=answer.host)

    def _order(self, job: Job, kernel: Kernel, staged: Payload) -> Order:
        project = replace(
            self._project, checks=(job.check,), matrix=Matrix((job.profile,)), workdir=Path(), lock=None, store=None,
            cluster=None, shard=None, rootfs=None,
        )  # fmt: skip
        folder = kernel.image.parent
        found = [Parcel(f"kernels/{folder.name}", folder, without="headers.")]
        if kernel.headers_disk:  # a worker may have the kernel without them
            found += [Parcel(f"kernels/{folder.name}/{one.name}", one) for one in sorted(folder.glob("headers.*"))]
        if staged.image:
            found.append(Parcel(f"payloads/{staged.digest}.disk", staged.image))
        userland = self._machines.userland(job.profile.arch)
        rootfs, disk = userland.rootfs, userland.rootfs_disk
        if rootfs and disk:
            found.append(Parcel(f"{disk.parent.name}/{disk.name}", disk))
        return Order(
            self._run, project, replace(self._options, cluster="", jobs=1), job, kernel,
            replace(staged, image=None, contents=()), rootfs.identity if rootfs else None, tuple(found),
        )  # fmt: skip

    def _unpacked(self, answer: Answer) -> str:
        """Put a job's evidence where it would be if it had run here; return that, relative to the work directory."""
        import tarfile  # with it comes what a run on this machine does not need

        folder = self._store.evidence(answer.record.key or answer.record.run_id, self._run)
        with tarfile.open(fileobj=io.BytesIO(answer.evidence), mode="r:gz") as archive:
            for member in archive:
                path = folder / member.name
                if ".." in path.parts or not path.is_relative_to(folder):
                    raise BpfcompatError(
                        f"the worker {answer.host} sent {member.name!r}, which is outside of its place."
                    )
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif file := archive.extractfile(member) if member.isreg() else None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(file.read())
                    path.chmod(member.mode & 0o755 | 0o600)
        return str(folder.relative_to(self._store.workdir))

    def close(self) -> None:
        """Leave the cluster."""
        self._open.close()
        if self.cluster:
            self.moved, self.cluster = self.cluster.moved, None

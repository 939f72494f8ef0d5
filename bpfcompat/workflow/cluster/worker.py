"""What runs on a worker: a plugin that says what the machine can carry, and the tasks that the coordinator submits."""

from __future__ import annotations

import contextlib
import io
import shutil
import socket
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from distributed import Status, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from bpfcompat import architecture, kernels
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import kit
from bpfcompat.kernels import lock, store
from bpfcompat.model import Kernel
from bpfcompat.system import atomic, host, processes
from bpfcompat.workflow import readiness
from bpfcompat.workflow.cluster import parcels
from bpfcompat.workflow.cluster.order import Answer, Lacks, Order, Ready, Trouble, same_version
from bpfcompat.workflow.session import Session

_ANY = 1e9
"""Of a resource that says what a worker is, and is never used up."""
_T = TypeVar("_T")


class Keeper(WorkerPlugin):  # type: ignore[misc]  # dask has no types
    """Offers what this machine can carry, and ends the guests of jobs that nobody waits for any more."""

    name = "bpfcompat"
    idempotent = True

    async def setup(self, worker: Any) -> None:
        """Offer machines, memory for them, and what this worker is, as dask's resources.

        What was said with `dask worker --resources guests=N` counts for more.
        """
        given = worker.state.total_resources
        offered = {"guests": host.processors(), "guest MiB": int(host.memory_available_mib() * 0.8)}
        await worker.set_resources(**{**offered, **dict.fromkeys(identity(), _ANY), **given})
        if worker.status is Status.running:
            # The scheduler looks again for tasks that had no worker when one begins to run, but not when one has more to offer.
            worker.status = Status.paused
            worker.status = Status.running

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Kill a running job's guests: it was cancelled, or its coordinator is gone."""
        if start in {"executing", "long-running"} and finish in {"released", "cancelled"}:
            processes.stop_group(str(key))

    def teardown(self, worker: Any) -> None:  # noqa: ARG002
        """Kill all guests: the worker ends."""
        processes.stop_groups()


def identity() -> tuple[str, ...]:
    """Return what this worker is, by the names under which it can be demanded."""
    found = kit.find(host.cache_folder(), architecture.host())
    return (same_version(), f"kit {found.identity[:16] if found else 'none'}")


def guarded(task: Callable[..., _T], *arguments: Any, after: Any = None) -> _T | Trouble:  # noqa: ARG001
    """Do a task whose guests end when it is cancelled; what went wrong is returned, not raised.

    after: nothing but what draws the task to a worker.
    """
    worker = get_worker()
    try:
        with processes.group(str(worker.get_current_task())):
            return task(*arguments)
    except Exception as error:  # full disks, damaged caches: another worker may do better
        return Trouble(worker.address, name_of(worker), f"{type(error).__name__}: {error}")


def name_of(worker: Any) -> str:
    """Return what people know a worker by: its name where it was given one, and its host."""
    named = str(worker.name)
    return socket.gethostname() if "://" in named else f"{named} on {socket.gethostname()}"


def take(run: str, name: str, index: int, piece: parcels.Piece, last: bool) -> bool:
    """Lay a piece of a parcel; return whether more of it is wanted. Raises OSError, ValueError."""
    target = _where(run, name)
    if target.exists():
        return False
    folder = target.with_name(f".{target.name}.{run}")
    if index == 0:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        parcels.lay(folder, piece)
        if last:
            parcels.finish(folder, piece, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return not last


def forget(run: str, dask_worker: Any = None) -> None:
    """Drop what a run left here; dask itself gives the worker, outside of tasks."""
    shutil.rmtree(_work(run, dask_worker), ignore_errors=True)


def _work(run: str, worker: Any = None) -> Path:
    """Return a run's folder on this worker, which dask removes with the worker's own."""
    return Path((worker or get_worker()).local_directory) / "bpfcompat" / run


def _where(run: str, name: str) -> Path:
    return (_work(run) if name.startswith("payloads/") else host.cache_folder()) / name


def ready(order: Order) -> Ready | Lacks:
    """Boot a machine once and save it here."""
    if lacking := _lacking(order):
        return lacking
    with _session(order, []) as session:
        _build(session, order)
        image = session.boot_images.get(order.job.profile)
    size = sum(path.stat().st_blocks * 512 for path in image.iterdir()) if image else 0
    return Ready(get_worker().address, max(size, 1))


def run(order: Order, _: Ready | Lacks | Trouble | None) -> Answer | Lacks:
    """Run a job here. The second argument is the machine's boot image, which dask moves jobs to; one is made if it is not here."""
    if lacking := _lacking(order):
        return lacking
    told: list[str] = []
    with _session(order, told) as session:
        _build(session, order)
        record = session.run(order.job)
        folder = session.store.workdir / record.evidence if record.evidence else None
        evidence = _packed(folder) if folder else b""
        if folder:
            session.store.forget(record.key)
            shutil.rmtree(folder, ignore_errors=True)
    worker = get_worker()
    return Answer(worker.address, name_of(worker), record, evidence, tuple(told))


def _packed(folder: Path) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
        archive.add(folder, ".")
    return file.getvalue()


def _lacking(order: Order) -> Lacks | None:
    """Return what has to be sent here first; a kernel is fetched from its own source where that has exactly it."""
    missing = [one.name for one in order.parcels if not _where(order.run, one.name).exists()]
    if any(name.startswith("kernels/") for name in missing) and _kernel(order):
        missing = [name for name in missing if not _where(order.run, name).exists()]
    return Lacks(get_worker().address, tuple(missing)) if missing else None


def _held(kernel: Kernel) -> Kernel | None:
    return store.held(host.cache_folder(), kernel.source, kernel.version, kernel.image_sha256, kernel.modules_sha256)


def _kernel(order: Order) -> Kernel | None:
    cache = host.cache_folder()
    if (found := _held(order.kernel)) or order.options.offline:
        return found
    with atomic.locked(cache / "locks" / order.kernel.image_sha256), contextlib.suppress(NoVerdict):
        return _held(order.kernel) or kernels.fetch(order.job.profile, cache, locked=lock.of(order.kernel))
    return None


@contextlib.contextmanager
def _session(order: Order, told: list[str]) -> Iterator[Session]:
    """Yield a session of this job alone, in which what was sent stands where a run on one machine would have brought it."""
    kernel = _kernel(order)
    if kernel is None:
        raise BpfcompatError(f"{order.kernel.source} is damaged in this worker's store.")
    project = replace(order.project, workdir=_work(order.run) / "work")

    def notice(text: str) -> None:
        told.append(text)
        sys.stderr.write(f"bpfcompat: {text}\n")

    session = Session(project, order.options, host.cache_folder(), notice)
    if order.kernel.headers_disk is None:  # somebody else's run may have brought them
        kernel = replace(kernel, headers_disk=None, headers_sha256="")
    session.machines.kernels.put(order.job.profile, kernel)
    session.machines.userland(order.job.profile.arch).put_rootfs(order.rootfs)
    image = _where(order.run, f"payloads/{order.payload.digest}.disk")
    session.payloads.put(order.job.check, replace(order.payload, image=image))
    try:
        yield session
    finally:
        session.close()


def _build(session: Session, order: Order) -> None:
    """Bring about what the machine is made of; each part is made once for all jobs. Raises BpfcompatError, NoVerdict, OSError."""
    profile = order.job.profile
    readiness.build(session.machines, profile)
    if session.warm and not session.boot_images.is_ready(profile):
        session.boot_images.save(profile, session.boot_seconds(profile))

"""The side that starts a run: it hands jobs to dask, sends what workers lack, and takes their records."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from typing import Any
from urllib.parse import urlsplit

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.model import ClusterSettings
from bpfcompat.outcome import Classification, OutcomeKind
from bpfcompat.system import processes
from bpfcompat.workflow.cluster import parcels
from bpfcompat.workflow.cluster.order import Answer, Lacks, Order, Parcel, Trouble, same_version

_CONNECT_SECONDS = 10
_WORKERS_SECONDS = 60.0
"""How long a run waits for a worker, at its start or after the last one has gone."""
_LOOK_SECONDS = 10.0
"""How often a job that waits looks whether there is anybody to run it."""
_ROUNDS = 12
"""How often a job is submitted at most: each worker that is new to it may lack something first."""
_MIB_OF_QEMU = 64
_INSTALL = "pip install 'bpfcompat[cluster]'"


@dataclass
class _Machine:
    """A boot image of the run, wherever it is."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    future: Any = None


class Cluster:
    """A connection to a running scheduler. Methods are called from several threads."""

    def __init__(self, settings: ClusterSettings, demands: Iterable[str], notice: Callable[[str], None]) -> None:
        """Connect; raises BpfcompatError if there is no such cluster, it is open to everybody, or no worker there fits.

        demands: resources that a worker must offer, beside this version of bpfcompat.
        notice: called with a line that the user should see at once.
        """
        self.address = settings.address
        self._notice = notice
        self._demands = (same_version(), *demands)
        self._names = itertools.count()
        self._machines: dict[object, _Machine] = {}
        self._sending: dict[tuple[str, str], threading.Lock] = {}
        self._futures: set[Any] = set()
        self._lock = threading.Lock()
        self._lost = ""
        self._seen = 0.0
        self.moved: Counter[str] = Counter()
        """Bytes: `evidence` of all jobs, and `parcels`."""
        self._client = _connected(settings)
        try:
            self._prepare()
        except BaseException:
            self._client.close()
            raise

    def _prepare(self) -> None:
        from bpfcompat.workflow.cluster import worker

        try:
            self._client.register_plugin(worker.Keeper())
        except Exception as error:
            raise BpfcompatError(
                f"a worker of {self.address} cannot run bpfcompat: {' '.join(str(error).split())[:200]}",
                f"{_INSTALL} there",
            ) from error
        deadline = time.monotonic() + _WORKERS_SECONDS
        while not self._workers():
            if all_of_them := self._client.scheduler_info()["workers"]:
                offered = sorted(
                    {name for one in all_of_them.values() for name in one["resources"]} - {"guests", "guest MiB"}
                )
                raise BpfcompatError(
                    f"no worker of {self.address} is what this run needs ({', '.join(self._demands)}): they are {', '.join(offered)}.",
                    "install the same version of bpfcompat there, or leave `same: true` out",
                )
            if time.monotonic() > deadline:
                raise BpfcompatError(
                    f"the scheduler at {self.address} has no workers.",
                    f"start one on each machine: dask worker {self.address}",
                )
            time.sleep(0.2)

    def _workers(self, memory: int = 0) -> list[str]:
        """Return the addresses of the workers that fit, and can carry a machine of so many MiB; none if nobody can be asked."""
        try:
            known = self._client.scheduler_info()["workers"].items()
        except OSError:
            return []
        return [
            address
            for address, one in known
            if all(name in one["resources"] for name in self._demands)
            and one["resources"].get("guest MiB", 0) >= memory
        ]

    def run(self, order: Order) -> Answer:
        """Run a job on whichever worker dask chooses; raises NoVerdict if none came to an end with it."""
        from bpfcompat.workflow.cluster import worker

        if self._workers() and not self._workers(needs := order.job.profile.memory + _MIB_OF_QEMU):
            raise NoVerdict(
                Classification.HOST_FAILURE, f"no worker of {self.address} has {needs} MiB of memory for it."
            )
        warm = order.project.boot == "warm" and not order.options.cold and order.kernel.has_disks
        ready = self._ready(order) if warm else None
        after, among = None, list[str]()
        troubles: list[Trouble] = []
        for _ in range(_ROUNDS):
            future = self._submit("job", worker.run, order, ready, order=order, among=among, after=after)
            after, said = None, self._result(future, among)
            if said is None:
                among = []
                continue
            if isinstance(said, Answer) and _was_ended(said):
                troubles.append(Trouble(said.worker, said.host, "it was ended"))
                among = []  # whoever is there, or comes within a minute
                continue
            if isinstance(said, Answer) and not (_is_host_failure(said) and self._elsewhere(said.worker, troubles)):
                self.moved["evidence"] += len(said.evidence)
                return self._noted(said, troubles)
            if isinstance(said, Lacks):
                said = self._send(order, said) or said
            after, among = (future, []) if isinstance(said, Lacks) else (None, self._others(said, troubles))
        why = troubles[-1].why if troubles else "it always lacks something"
        raise NoVerdict(
            Classification.HOST_FAILURE, f"no worker could run it: {why}", f"see the logs of {self.address}"
        )

    def _noted(self, answer: Answer, troubles: list[Trouble]) -> Answer:
        for text in answer.notices:
            self._notice(f"{answer.host}: {text}")
        notes = tuple(f"run again on another worker: {one.host}: {one.why}" for one in troubles)
        outcome = replace(answer.record.outcome, notes=(*answer.record.outcome.notes, *notes))
        return replace(answer, record=replace(answer.record, outcome=outcome)) if notes else answer

    def _elsewhere(self, worker: str, troubles: list[Trouble]) -> bool:
        """Tell whether a job that failed for its host's sake can be tried on a worker that it did not fail on."""
        return bool(set(self._workers()) - {worker} - {one.worker for one in troubles})

    def _others(self, said: Answer | Trouble, troubles: list[Trouble]) -> list[str]:
        """Return the workers that are left for a job after one failed; raises NoVerdict if there is none."""
        trouble = said if isinstance(said, Trouble) else Trouble(said.worker, said.host, said.record.verdict.reason)
        troubles.append(trouble)
        left = set(self._workers()) - {one.worker for one in troubles}
        if not left:
            raise NoVerdict(Classification.HOST_FAILURE, f"the worker {trouble.host} failed: {trouble.why}")
        return sorted(left)

    def _ready(self, order: Order) -> Any:
        """Return the boot image of an order's machine as dask's future, made first if this is the first job that needs it."""
        from bpfcompat.workflow.cluster import worker

        profile = order.job.profile
        with self._lock:
            known = self._machines.setdefault(
                (order.kernel, profile.arch, profile.memory, profile.cpus, profile.cmdline), _Machine()
            )
        with known.lock:
            after = None
            for _ in range(_ROUNDS):
                if known.future is not None and known.future.status in {"finished", "pending"}:
                    return known.future
                future = self._submit("boot", worker.ready, order, order=order, after=after)
                said = self._result(future, keep=True)
                if isinstance(said, Trouble):
                    return None  # its jobs meet the same, and tell it
                if not isinstance(said, Lacks):
                    known.future = future
                elif self._send(order, said):
                    return None
                else:
                    after = future
        return None

    def _submit(
        self,
        what: str,
        task: Callable[..., Any],
        *arguments: Any,
        order: Order,
        among: Sequence[str] = (),
        after: Any = None,
    ) -> Any:
        """Hand a task to dask.

        among: the workers to choose from, as long as one of them is there.
        after: a task where whose result is it is best done, too. Not said by `workers`: dask does not give a task to a new
            worker that was to be done on one that has died.
        """
        from bpfcompat.workflow.cluster import worker

        needs = {"guests": 1, "guest MiB": order.job.profile.memory + _MIB_OF_QEMU}
        return self._started(lambda: self._client.submit(
            worker.guarded, task, *arguments, after=after, key=f"bpfcompat-{what}-{order.run}-{next(self._names)}", pure=False,
            resources={**needs, **dict.fromkeys(self._demands, 1)}, workers=among or None,
            allow_other_workers=bool(among),
        ))  # fmt: skip

    def _started(self, submit: Callable[[], Any]) -> Any:
        with self._lock:
            if processes.interrupted():
                raise NoVerdict(Classification.INTERRUPTED, "The run was interrupted.")
            if self._lost:
                raise NoVerdict(Classification.HOST_FAILURE, self._lost, "start it again, and run again")
            future = submit()
            self._futures.add(future)
        return future

    def _result(self, future: Any, among: Sequence[str] = (), *, keep: bool = False) -> Any:
        """Return what a task said, or None if those that it was to be done by are gone; raises NoVerdict if it never will."""
        from distributed import CancelledError, KilledWorker

        try:
            while True:
                try:
                    return future.result(timeout=_LOOK_SECONDS)
                except TimeoutError:
                    self._refuse_to_wait_in_vain()
                    if among and set(among).isdisjoint(self._workers()):
                        self._client.cancel([future], force=True)
                        return None
        except KilledWorker as error:
            raise NoVerdict(
                Classification.HOST_FAILURE, f"every worker that ran it died; the last was {error.last_worker.address}.",
                "see the logs of the workers: memory is what they run out of first",
            ) from error  # fmt: skip
        except CancelledError as error:
            if processes.interrupted():
                raise NoVerdict(Classification.INTERRUPTED, "The run was interrupted.") from error
            self._lost = self._lost or f"the connection to the scheduler at {self.address} is lost."
            raise NoVerdict(Classification.HOST_FAILURE, self._lost, "start it again, and run again") from error
        finally:
            if not keep:
                with self._lock:
                    self._futures.discard(future)

    def _refuse_to_wait_in_vain(self) -> None:
        """Raise NoVerdict once there has been no worker for a minute."""
        with self._lock:
            now = time.monotonic()
            if self._workers():
                self._seen = now
            elif self._seen and now - self._seen > _WORKERS_SECONDS:
                raise NoVerdict(
                    Classification.HOST_FAILURE, f"the scheduler at {self.address} has no workers any more."
                )

    def _send(self, order: Order, lacks: Lacks) -> Trouble | None:
        """Bring to a worker what it lacks; return what went wrong there."""
        by_name = {parcel.name: parcel for parcel in order.parcels}
        for name in lacks.names:
            with self._lock:
                lock = self._sending.setdefault((lacks.worker, name), threading.Lock())
            with lock:
                trouble = self._send_parcel(order.run, lacks.worker, by_name[name])
            if trouble:
                return trouble
        return None

    def _send_parcel(self, run: str, address: str, parcel: Parcel) -> Trouble | None:
        from bpfcompat.workflow.cluster import worker

        for index, piece in enumerate(parcels.pieces(parcel.source, parcel.without)):
            if address not in self._workers():
                return None  # it is gone: dask gives the job to another
            future = self._started(lambda index=index, piece=piece: self._client.submit(
                worker.guarded, worker.take, run, parcel.name, index, piece, bool(piece.files), workers=[address], pure=False,
                key=f"bpfcompat-parcel-{run}-{next(self._names)}",
            ))  # type: ignore[misc]  # fmt: skip
            said = self._result(future, [address])
            self.moved["parcels"] += sum(len(data) for _, _, data in piece.blocks)
            if isinstance(said, Trouble):
                return said
            if not said:
                break  # the worker has it, by another job or by now
        return None

    def cancel(self) -> None:
        """Cancel every job: the guests die on the workers, and whoever waits here goes on."""
        with self._lock:
            futures, self._futures = list(self._futures), set()
        self._client.cancel(futures, force=True)

    def close(self, run: str) -> None:
        """Leave the cluster, and leave nothing of a run there."""
        from bpfcompat.workflow.cluster import worker

        with contextlib.suppress(Exception):  # it is gone already, or some worker is
            if not self._lost and not processes.interrupted():
                self._client.run(worker.forget, run, on_error="ignore")
        with contextlib.suppress(Exception):
            self._client.close()


def _is_host_failure(answer: Answer) -> bool:
    outcome = answer.record.outcome
    return outcome.kind is OutcomeKind.NO_VERDICT and outcome.classification is Classification.HOST_FAILURE


def _was_ended(answer: Answer) -> bool:
    """Tell whether a worker was asked to end while it ran a job, which then says that it was interrupted."""
    return answer.record.outcome.classification is Classification.INTERRUPTED


def _connected(settings: ClusterSettings) -> Any:
    """Return a client; raises BpfcompatError."""
    try:
        from distributed import Client
        from distributed.security import Security
    except ImportError as error:
        raise BpfcompatError(f"a cluster needs dask, which is not installed ({error.name}).", _INSTALL) from error
    for name in ("distributed", "distributed.client", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it means to the user is said by us
    keys: dict[str, Any] = {}
    if folder := settings.tls:
        for name in ("ca", "cert", "key"):
            if not (folder / f"{name}.pem").is_file():
                raise BpfcompatError(f"there is no {folder / name}.pem.", f"bpfcompat cluster keys {folder}")
        keys = {"tls_ca_file": str(folder / "ca.pem"), "tls_client_cert": str(folder / "cert.pem"),
                "tls_client_key": str(folder / "key.pem"), "require_encryption": True}  # fmt: skip
    _refuse_open(settings.address)
    security = Security(**keys)
    try:
        # A client that cannot connect prints what it thinks of that when it is forgotten, so somebody else knocks first.
        asyncio.run(_knock(settings.address, security))
        return Client(settings.address, security=security, timeout=_CONNECT_SECONDS, set_as_default=False)
    except TypeError as error:
        raise BpfcompatError(
            f"{settings.address} needs keys, and none are named.",
            "write `cluster: {address: tls://..., tls: DIR}`, with the DIR of `bpfcompat cluster keys`",
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise BpfcompatError(
            f"there is no scheduler at {settings.address}: {why[:200]}",
            "start it with `dask scheduler`, or mend the address",
        ) from error


async def _knock(address: str, security: Any) -> None:
    """Connect and leave again; raises what the client would."""
    from distributed.comm import connect

    comm = await connect(address, timeout=_CONNECT_SECONDS, **security.get_connection_args("client"))
    await comm.close()


def _refuse_open(address: str) -> None:
    """Raise BpfcompatError for a scheduler to which anybody could talk: who can, runs programs on every worker."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        inside = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        inside = parts.hostname == "localhost"
    if parts.scheme not in {"tls", "wss"} and not inside:
        raise BpfcompatError(
            f"{address} is not encrypted, and whoever reaches it can run programs on its workers.",
            "bpfcompat cluster keys DIR makes the keys; then write tls://... and `cluster: {address: tls://..., tls: DIR}`",
        )

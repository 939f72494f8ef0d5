"""One invocation at work: what was resolved, built, staged and found out so far. Tasks call it; it knows no doit."""

from __future__ import annotations

import contextlib
import datetime
import secrets
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bpfcompat import verdict
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import payload, tools
from bpfcompat.kernels import features
from bpfcompat.model import (
    Check,
    Classification,
    Features,
    Job,
    Kernel,
    Outcome,
    OutcomeKind,
    Payload,
    Project,
    Record,
    Run,
    Status,
    Target,
)
from bpfcompat.records import VerdictStore
from bpfcompat.system import host, processes
from bpfcompat.verdict import hints
from bpfcompat.workflow import jobs
from bpfcompat.workflow.machines import Machines

if TYPE_CHECKING:
    from bpfcompat.workflow.runner import Result

_TOTAL_SECONDS = 180.0
_BOOT_SECONDS = {"tcg": 30.0, "kvm": 10.0}


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what."""

    jobs: int | None = None
    """Guests at once; None means as many as this machine can carry."""
    force: bool = False
    failed: bool = False
    """Run only what did not pass last time."""
    offline: bool = False
    cold: bool = False
    """Boot every machine from its start."""
    keep: bool = False
    """Leave the run's temporary files, the payload disks among them, and say where."""
    boot_seconds: float | None = None
    """For the boot; None means 30 in software emulation and 10 with KVM."""
    total_seconds: float | None = None
    """For one boot and one command together; None means 180, or more where their own limits add up to more."""


class Session:
    """The state of one invocation. Methods are called from several threads, each job's by one at a time."""

    def __init__(
        self,
        project: Project,
        options: Options = Options(),
        cache: Path | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """Plan the jobs; nothing is read but what earlier runs found out.

        notice: called with a line that the user should see at once; None means stderr.
        """
        self.project = project
        self.options = options
        self.machines = Machines(
            project,
            cache or host.cache_folder(),
            warm=project.boot == "warm" and not options.cold,
            offline=options.offline,
            notice=notice,
        )
        self.store = VerdictStore(project.workdir)
        self.jobs = tuple(job for job in jobs.plan(project) if not (options.failed and self._passed_last(job)))
        self.failed = self.store.failed()
        """Names of the jobs that did not pass last time; they come first: whoever mends that wants to know it first."""
        self.jobs_by_urgency = sorted(self.jobs, key=lambda job: job.name not in self.failed)
        self.started_at = _now()
        self.id = f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._measured: dict[payload.Brought, Payload] = {}
        self._staged: dict[payload.Brought, Payload] = {}
        self._cached: dict[tuple[str, str], Record] = {}
        """Stored records by the job's name and its payload's digest: they are asked for by several tasks."""
        self._refused: dict[payload.Brought, NoVerdict] = {}
        self._records: dict[str, Record] = {}
        self._scratch: Path | None = None
        self._open = ExitStack()
        self._lock = threading.Lock()

    def _passed_last(self, job: Job) -> bool:
        last = self.store.last(job.name)
        return last is not None and last.verdict.status is Status.PASS

    @property
    def boot_seconds(self) -> float:
        """The limit for a boot, by what runs the guests."""
        chosen = self.machines.accelerator()
        return self.options.boot_seconds or _BOOT_SECONDS[chosen.name if chosen else "tcg"]

    # ---- what a check brings ----

    def payload(self, check: Check) -> Payload:
        """Return a check's payload: as staged, or else as its files are now; raises BpfcompatError."""
        brought = payload.brought(check)
        staged = self._staged.get(brought)
        if staged:
            return staged
        if refusal := self._refused.get(brought):
            raise refusal
        if brought not in self._measured:
            try:
                self._measured[brought] = payload.measure(check, self.machines.validator(check))
            except NoVerdict as error:
                self._refused[brought] = error
                raise
        return self._measured[brought]

    def stage_payload(self, check: Check) -> Payload:
        """Copy a check's files and make the disk of the copies, whose digests count from here on; raises BpfcompatError.

        Checks that bring the same files share the disk.
        """
        folder, brought = self.scratch, payload.brought(check)
        with self._lock:
            if refusal := self._refused.get(brought):
                raise refusal
            if brought not in self._staged:
                try:
                    self._staged[brought] = payload.stage(
                        check, folder / f"payload-{len(self._staged)}", self.machines.loader_finds(),
                        self.machines.validator(check),
                    )  # fmt: skip
                except NoVerdict as error:
                    self._refused[brought] = error
                    raise
            return self._staged[brought]

    def is_refused(self, check: Check) -> bool:
        """Tell whether a check's files have turned out to be of no use, so that none of its jobs needs a machine."""
        return payload.brought(check) in self._refused

    def boots_nothing(self) -> bool:
        """Tell whether the files of every check have turned out to be of no use."""
        return all(self.is_refused(check) for check in self.project.checks)

    def check_inputs(self) -> None:
        """Raise BpfcompatError for the first input that is missing; a loader that cannot run is told in the rows of its jobs."""
        self.store.prepare()
        self.machines.check_locks()
        self.machines.accelerator()
        for name in ("qemu-system-x86_64", "mke2fs", "bash-static", "busybox", *tools.NAMES):
            host.program(name)
        if self.machines.rootfs and self.project.rootfs and self.project.rootfs.is_file():
            host.program("tar")
        if any(check.validation for check in self.project.checks):
            self.machines.build_validator()
        for check in self.project.checks:
            with contextlib.suppress(NoVerdict):  # told in the rows of its jobs
                self.payload(check)

    @property
    def scratch(self) -> Path:
        """This run's folder for temporary files."""
        with self._lock:
            if self._scratch is None:
                self.store.prepare()
                self._scratch = self._open.enter_context(self.store.scratch(self.id, self.options.keep))
            return self._scratch

    # ---- jobs ----

    def key_parts(self, job: Job) -> dict[str, Any] | None:
        """Return what shapes a job's verdict; None while that is not known yet. Raises BpfcompatError for bad inputs."""
        kernel, machine, identity = (
            self.machines.kernel(job.profile),
            self.machines.machine(job.profile),
            self.machines.initramfs_identity(job.profile),
        )
        if kernel is None or machine is None or identity is None:
            return None
        return jobs.key_parts(job, kernel, identity, self.machines.tools.identity, self.payload(job.check), machine,
            self.machines.rootfs.identity if self.machines.rootfs else None,
        )  # fmt: skip

    def cached(self, job: Job) -> Record | None:
        """Return the stored record of exactly these inputs, if it is to be used."""
        if self.options.force:
            return None
        asked = job.name, self.payload(job.check).digest
        if asked not in self._cached:
            parts = self.key_parts(job)
            record = self.store.get(jobs.key(parts)) if parts else None
            if record is None or (record.imported_from and not self.project.trust_imported):
                return None
            self._cached[asked] = replace(record, job=job.name, cached=True)
        return self._cached[asked]

    def take_cached(self, job: Job, passed: bool = False) -> bool:
        """Use a stored record for a job if there is one; return whether there was. Never raises: doit would stop.

        passed: take only one that passed.
        """
        try:
            record = self.cached(job)
        except (BpfcompatError, OSError):
            return False
        if record is None or (passed and record.verdict.status is not Status.PASS):
            return False
        self._finish(job, record)
        return True

    def run(self, job: Job) -> Record:
        """Run a job, or wait for whoever runs the same, and return its record; never raises for a failure of any kind."""
        started, clock = _now(), time.monotonic()
        parts: dict[str, Any] = {}
        try:
            if record := self.cached(job):
                self._finish(job, record)
                return record
            # What is staged is what is hashed and run: a file rebuilt since it was measured gives another key here.
            staged = self.stage_payload(job.check)
            parts = self.key_parts(job) or self._refuse(job)
            with self.store.lock(jobs.key(parts)):
                record = self.cached(job) or self._run_locked(job, staged, parts, started, clock)
        except NoVerdict as error:
            record = self._record(job, parts, error.outcome(), started, clock)
        except Exception as error:
            outcome = Outcome(
                OutcomeKind.NO_VERDICT,
                f"bpfcompat itself failed: {error!r}",
                Classification.HOST_FAILURE,
                notes=(traceback.format_exc(),),
            )
            record = self._record(job, parts, outcome, started, clock)
        self._finish(job, record)
        return record

    def _refuse(self, job: Job) -> NoReturn:
        raise self.machines.missing(job.profile)

    def _run_locked(self, job: Job, staged: Payload, parts: dict[str, Any], started: str, clock: float) -> Record:
        from bpfcompat.workflow import runner  # with it comes pexpect, which a run of stored verdicts does not need

        machine = self.machines.machine(job.profile)
        if machine is None or staged.image is None:
            self._refuse(job)
        folder = self.store.evidence(jobs.key(parts), self.id)
        self.store.keep_manifest(staged)
        command_seconds = job.profile.timeout or job.check.timeout
        boot_seconds = self.boot_seconds
        total = self.options.total_seconds or max(_TOTAL_SECONDS, boot_seconds + command_seconds)
        self.machines.use(job.profile)
        ready = self.machines.with_payload(machine, staged.image, self.scratch / f"machine-{secrets.token_hex(4)}")
        request = runner.Request(
            ready, job.check, staged, staged.image, folder, self.machines.boot_image(job.profile),
            boot_seconds, command_seconds, total, self.project.retries,
        )  # fmt: skip
        result = runner.run(request)
        if request.image and not result.warm and not processes.interrupted():
            self.machines.notice(f"the boot image of {job.profile.id} could not be used; it is made anew next time.")
        record = self._record(job, parts, result.outcome, started, clock, folder, result)
        if verdict.is_certain(record.verdict):
            self.store.put(record)
        return record

    def _record(
        self,
        job: Job,
        parts: dict[str, Any],
        outcome: Outcome,
        started: str,
        clock: float,
        folder: Path | None = None,
        result: Result | None = None,
    ) -> Record:
        kernel, chosen = self.machines.kernel(job.profile), self.machines.accelerator()
        if kernel and kernel.modules_disk is None:
            outcome = replace(outcome, notes=(*outcome.notes, "this kernel came without its modules"))
        return Record(
            job=job.name,
            key=jobs.key(parts) if parts else "",
            key_parts=parts,
            verdict=verdict.decide(outcome, job.check.expect, job.check.validation),
            outcome=outcome,
            started_at=started,
            finished_at=_now(),
            seconds=round(time.monotonic() - clock, 3),
            run_id=self.id,
            kernel=_described(kernel) if kernel else {"source": job.profile.kernel},
            accelerator=chosen.name if chosen else "",
            boot=("warm" if result.warm else "cold") if result else "",
            qemu=host.qemu_version(),
            qemu_command=result.qemu_command if result else "",
            evidence=str(folder.relative_to(self.project.workdir)) if folder else None,
        )

    def _finish(self, job: Job, record: Record) -> None:
        if processes.interrupted() and not record.cached and record.verdict.status is Status.INFRA_ERROR:
            return  # told as interrupted at the end
        with self._lock:
            self._records[job.name] = record
        # Of a stored verdict there is nothing to be lost: a work directory that cannot be written serves it all the same.
        with contextlib.suppress(OSError) if record.cached else contextlib.nullcontext():
            self.store.remember(record, stored=verdict.is_certain(record.verdict))

    # ---- the end ----

    def finish(self) -> Run:
        """Return what was found out; jobs that never ended are told as interrupted."""
        targets = tuple(Target(job, self._records.get(job.name) or self._interrupted(job)) for job in self.jobs)
        known, chosen = {**self._measured, **self._staged}, self.machines.accelerator()
        payloads = {
            check.name: known[payload.brought(check)]
            for check in self.project.checks
            if payload.brought(check) in known
        }
        return Run(
            self.id,
            self.started_at,
            _now(),
            self.project,
            targets,
            payloads,
            host.qemu_version(),
            chosen.name if chosen else "",
            chosen.reason if chosen else "",
            "warm" if self.machines.warm else "cold",
            features=self._features(targets),
        )

    def _features(self, targets: tuple[Target, ...]) -> dict[str, Features]:
        """Return what the kernels offer on which something failed in a way that hints need it for."""
        failed = {one.job.profile.id: one.job.profile for one in targets if hints.needs_features(one.record)}
        known = {name: self.machines.kernel(profile) for name, profile in failed.items()}
        found = {name: features.of(kernel) for name, kernel in known.items() if kernel}
        return {name: one for name, one in found.items() if one}

    def _interrupted(self, job: Job) -> Record:
        outcome = Outcome(
            OutcomeKind.NO_VERDICT, "The run was interrupted before this job ended.", Classification.INTERRUPTED
        )
        return self._record(job, {}, outcome, _now(), time.monotonic())

    def close(self) -> None:
        """Drop temporary files, unless they are to be kept."""
        self._open.close()
        if self.options.keep and self._scratch:
            self.machines.notice(
                f"the disks of this run are kept in {self._scratch}; remove them when you have looked."
            )
            self._scratch = None


def _described(kernel: Kernel) -> dict[str, str]:
    return {
        "source": kernel.source, "version": kernel.version,
        "image_sha256": kernel.image_sha256, "modules_sha256": kernel.modules_sha256,
    }  # fmt: skip


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

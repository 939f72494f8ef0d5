"""One invocation at work: what was resolved, built, staged and found out so far. Tasks call it; it knows no doit."""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bpfcompat import architecture, records, verdict
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.kernels import features
from bpfcompat.model import Features, Job, Kernel, Payload, Profile, Project
from bpfcompat.outcome import Classification, Outcome, OutcomeKind, Record, Run, Status, Target
from bpfcompat.records import manifests
from bpfcompat.system import host, processes, scratch
from bpfcompat.verdict import hints
from bpfcompat.workflow import inputs, jobs, limits
from bpfcompat.workflow.begun import Begun, now, with_asked
from bpfcompat.workflow.boot_images import BootImages
from bpfcompat.workflow.known import Known
from bpfcompat.workflow.machines import Machines
from bpfcompat.workflow.options import Options
from bpfcompat.workflow.payloads import Payloads
from bpfcompat.workflow.standby import Standby

if TYPE_CHECKING:
    from bpfcompat.vm import Machine
    from bpfcompat.workflow.shared import SharedVerdicts

__all__ = ["Options", "Session"]

_DEFAULTS = Options()
_LAST_SECONDS = 2.0
"""So long a session that is closed waits for its jobs to let go of what they hold."""


class Elsewhere(Protocol):
    """Other machines, on which a session's jobs run."""

    def connect(self) -> object:
        """Be ready for jobs; raises BpfcompatError."""

    def run(self, job: Job, kernel: Kernel, staged: Payload, parts: dict[str, Any]) -> Record:
        """Run a job there and bring its evidence here; raises NoVerdict."""

    def close(self) -> None:
        """Be done with them."""


class Session:
    """The state of one invocation. Methods are called from several threads, each job's by one at a time."""

    def __init__(
        self,
        project: Project,
        options: Options = _DEFAULTS,
        cache: Path | None = None,
        notice: Callable[[str], None] | None = None,
        standby: Standby | None = None,
    ) -> None:
        """Plan the jobs; nothing is read but what earlier runs found out.

        notice: called with a line that the user should see at once; None means stderr.
        standby: where machines may wait that are restored already; None means one of its own.
        """
        self.cache = cache or host.cache_folder()
        self.project = project
        self.options = options
        self.machines = Machines(
            project,
            self.cache,
            offline=options.offline,
            notice=notice,
        )
        self.warm = project.boot == "warm" and not options.cold
        self.pace = limits.Pace(self.cache)
        self.boot_images = BootImages(self.machines, self.cache, self.pace, warm=self.warm)
        self.payloads = Payloads(self.machines.userland)
        self.store = records.VerdictStore(project.workdir)
        self.newest = records.Newest(self.store)
        self.shared = self._shared()
        self.known = Known(self.store, self.newest, self._bring, trust_imported=project.trust_imported)
        planned = jobs.plan(project)
        self.jobs = tuple(job for job in planned if not (options.failed and self._passed_last(job)))
        self.checks = tuple({id(job.check): job.check for job in planned}.values())
        """What the jobs run: each check of the project, once for each architecture."""
        self.failed = self.newest.failed()
        """Names of the jobs that did not pass last time; they come first: whoever mends that wants to know it first."""
        self.jobs_by_urgency = sorted(self.jobs, key=lambda job: job.name not in self.failed)
        self.started_at = now()
        self.id = f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%dT%H%M%SZ}-{os.urandom(3).hex()}"
        self.elsewhere: Elsewhere | None = None
        """Where jobs run, if that is not this machine."""
        self._standby = standby or Standby.of(project, options.jobs)
        self._shares_standby = standby is not None
        self._unasked = True
        self._scratch: Path | None = None
        self._open = ExitStack()
        self._lock = threading.Lock()
        self._working, self._idle = 0, threading.Condition()

    def _shared(self) -> SharedVerdicts | None:
        if self.options.offline or not self.project.store:
            return None
        from bpfcompat.workflow.shared import SharedVerdicts  # with it comes what few projects need

        return SharedVerdicts(self.project.store, self.store, self.machines.notice)

    def _passed_last(self, job: Job) -> bool:
        last = self.newest.last(job.name)
        return last is not None and last.verdict.status is Status.PASS

    def boot_seconds(self, profile: Profile) -> float:
        """Return the limit for a boot of a profile's machine, by what runs it."""
        chosen = self.machines.accelerator(profile)
        kernel = self.machines.kernels.get(profile)
        return limits.boot(self.pace, chosen.name if chosen else "tcg", kernel, self.options.boot_seconds)

    def boots_nothing(self) -> bool:
        """Tell whether the files of every check have turned out to be of no use."""
        return all(self.payloads.is_refused(check) for check in self.checks)

    def check_inputs(self) -> None:
        """Raise BpfcompatError for the first input that is missing; a loader that cannot run is told in the rows of its jobs."""
        inputs.check(self.project, self.checks, self.store, self.machines, self.payloads)

    @property
    def scratch(self) -> Path:
        """This run's folder for temporary files."""
        with self._lock:
            if self._scratch is None:
                self.store.prepare()
                self._scratch = self._open.enter_context(
                    scratch.folder(self.project.workdir / "tmp", self.id, keep=self.options.keep)
                )
            return self._scratch

    def key_parts(self, job: Job) -> dict[str, Any] | None:
        """Return what shapes a job's verdict; None while that is not known yet. Raises BpfcompatError for bad inputs."""
        kernel, machine = self.machines.kernels.get(job.profile), self.machines.machine(job.profile)
        userland = self.machines.userland(job.profile.arch)
        if kernel is None or machine is None or userland.kit is None:
            return None
        return jobs.key_parts(job, kernel, userland.kit.identity, self.payloads.of(job.check), machine,
            userland.rootfs.identity if userland.rootfs else None, self._limits(job),
        )  # fmt: skip

    def _limits(self, job: Job) -> str:
        return job.profile.limits or self.project.limits

    def _bring(self, key: str) -> None:
        """Ask the shared store for a key, and the first time for all that are known by now."""
        if self.shared is None:
            return
        keys, self._unasked = (self._keys() if self._unasked else []), False
        self.shared.bring([key, *keys])

    def _keys(self) -> Iterator[str]:
        for job in self.jobs:
            with contextlib.suppress(BpfcompatError, OSError):
                if parts := self.key_parts(job):
                    yield jobs.key(parts)

    def cached(self, job: Job) -> Record | None:
        """Return the stored record of exactly these inputs, if it is to be used."""
        if self.options.force:
            return None
        return self.known.stored(job, self.payloads.of(job.check).digest, lambda: self.key_parts(job))

    def expect_machines(self, ahead: Iterable[Job]) -> None:
        """Have machines restored already, as far as they have boot images.

        ahead: the jobs that will ask for them, in that order.
        """
        if self.warm and not self.options.keep and self.elsewhere is None:
            self.store.prepare()
            self._standby.expect(self._machines_with_images(ahead))

    def _machines_with_images(self, ahead: Iterable[Job]) -> Iterator[tuple[Machine, Path]]:
        for profile in (job.profile for job in ahead):
            if (machine := self.machines.machine(profile)) and (image := self.boot_images.get(profile)):
                yield machine, image

    def is_cached(self, job: Job) -> bool:
        """Tell whether a job has a stored verdict; never raises: doit would stop."""
        return self._stored(job) is not None

    def _stored(self, job: Job) -> Record | None:
        with contextlib.suppress(BpfcompatError, OSError):
            return self.cached(job)
        return None

    def take_cached(self, job: Job, passed: bool = False) -> bool:
        """Use a stored record for a job if there is one; return whether there was. Never raises: doit would stop.

        passed: take only one that passed.
        """
        record = self._stored(job)
        if record is None or (passed and record.verdict.status is not Status.PASS):
            return False
        self.known.keep(job, record)
        return True

    def run(self, job: Job) -> Record:
        """Run a job, or wait for whoever runs the same, and return its record; never raises for a failure of any kind."""
        begun = Begun(job, self.id)
        try:
            if record := self.cached(job):
                self.known.keep(job, record)
                return record
            # What is staged is what is hashed and run: a file rebuilt since it was measured gives another key here.
            staged = self.payloads.stage(job.check, self.scratch)
            begun.parts = self.key_parts(job) or self.machines.kernels.refuse(job.profile)
            key = jobs.key(begun.parts)
            if not self.options.force and self.project.trust_imported:
                self._bring(key)  # before it is locked: what is brought takes the lock
            with self._alone(key):
                record = self.cached(job) or self._run_locked(begun, staged)
        except NoVerdict as error:
            record = begun.record(self.machines, error.outcome())
        except Exception as error:
            import traceback

            outcome = Outcome(
                OutcomeKind.NO_VERDICT,
                f"bpfcompat itself failed: {error!r}",
                Classification.HOST_FAILURE,
                notes=(traceback.format_exc(),),
            )
            record = begun.record(self.machines, outcome)
        self.known.keep(job, record)
        return record

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Hold a verdict's key; whoever closes the session waits until it is let go."""
        with self._idle:
            self._working += 1
        try:
            with self.store.lock(key):
                yield
        finally:
            with self._idle:
                self._working -= 1
                self._idle.notify_all()

    def _run_locked(self, begun: Begun, staged: Payload) -> Record:
        record = self._run_elsewhere(begun, staged) if self.elsewhere else self._run_here(begun, staged)
        if verdict.is_certain(record.verdict):
            self.known.hold(begun.job, record)  # a run that is interrupted now tells what is stored
            self.store.put(record)
            if self.shared:
                record = self.shared.give(record)
        return record

    def _run_elsewhere(self, begun: Begun, staged: Payload) -> Record:
        kernel = self.machines.kernels.get(begun.job.profile)
        if self.elsewhere is None or kernel is None:
            self.machines.kernels.refuse(begun.job.profile)
        manifests.keep(self.project.workdir, staged)
        record = self.elsewhere.run(begun.job, kernel, staged, begun.parts)
        guest = architecture.of(begun.job.profile.arch)
        return replace(record, outcome=with_asked(record.outcome, begun.job, kernel, guest))

    def _run_here(self, begun: Begun, staged: Payload) -> Record:
        from bpfcompat.workflow import runner  # with it comes pexpect, which a run of stored verdicts does not need

        job, key = begun.job, jobs.key(begun.parts)
        machine = self.machines.machine(job.profile)
        if machine is None or staged.image is None:
            self.machines.kernels.refuse(job.profile)
        folder = self.store.evidence(key, self.id)
        manifests.keep(self.project.workdir, staged)
        kernel = self.machines.kernels.get(job.profile)
        limit = limits.of(
            self.pace, job, machine.accelerator, kernel, self.options.boot_seconds, self.options.total_seconds
        )
        self.machines.kernels.use(job.profile)
        ready = self.machines.with_payload(
            machine, job.profile, staged.image, self.scratch / f"machine-{os.urandom(4).hex()}"
        )
        check = replace(job.check, guest_modules=jobs.modules(job), limits=self._limits(job))
        request = runner.Request(
            ready, check, staged, staged.image, folder, self.boot_images.get(job.profile),
            limit, self.project.retries, self._standby,
        )  # fmt: skip
        result = runner.run(request)
        if result.booted is not None and kernel:
            self.pace.booted(machine, kernel, result.booted)
        if request.image and not result.warm and not processes.interrupted():
            self.machines.notice(f"the boot image of {job.profile.id} could not be used; it is made anew next time.")
        return begun.record(self.machines, result.outcome, folder.relative_to(self.project.workdir), result)

    def finish(self) -> Run:
        """Return what was found out; jobs that never ended are told as interrupted."""
        targets = tuple(Target(job, self.known.of(job) or self._interrupted(job)) for job in self.jobs)
        known, chosen = (
            ((one.name, self.payloads.known(one)) for one in reversed(self.checks)),
            self.machines.accelerator(self.project.matrix.profiles[0]),
        )
        return Run(
            self.id,
            self.started_at,
            now(),
            self.project,
            targets,
            {name: payload for name, payload in known if payload},
            self._qemu_versions(),
            chosen.name if chosen else "",
            chosen.reason if chosen else "",
            "warm" if self.warm else "cold",
            features=self._features(targets),
        )

    def _features(self, targets: tuple[Target, ...]) -> dict[str, Features]:
        """Return what the kernels offer on which something failed in a way that hints need it for."""
        failed = {one.job.profile.id: one.job.profile for one in targets if hints.needs_features(one.record)}
        known = {name: self.machines.kernels.get(profile) for name, profile in failed.items()}
        found = {name: features.of(kernel) for name, kernel in known.items() if kernel}
        return {name: one for name, one in found.items() if one}

    def _qemu_versions(self) -> str:
        """Return the versions of the emulators that a run needs: one text, unless they are of different ones."""
        programs = dict.fromkeys(self.machines.board(profile).program for profile in self.project.matrix.profiles)
        return ", ".join(dict.fromkeys(host.qemu_version(program) for program in programs))

    def _interrupted(self, job: Job) -> Record:
        outcome = Outcome(
            OutcomeKind.NO_VERDICT, "The run was interrupted before this job ended.", Classification.INTERRUPTED
        )
        return Begun(job, self.id).record(self.machines, outcome)

    def close(self) -> None:
        """Drop temporary files, unless they are to be kept, and leave the cluster."""
        with self._idle:  # the guests of an interrupted run are dead, and their jobs about to end
            self._idle.wait_for(lambda: not self._working, _LAST_SECONDS)
        if self.elsewhere:
            self.elsewhere.close()
        if not self._shares_standby:
            self._standby.close()
        self._open.close()
        if self.options.keep and self._scratch:
            self.machines.notice(
                f"the disks of this run are kept in {self._scratch}; remove them when you have looked."
            )
            self._scratch = None

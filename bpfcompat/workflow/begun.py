"""A job at work, from the moment that it was begun to its record."""

from __future__ import annotations

import datetime
import time
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpfcompat import architecture, verdict
from bpfcompat.architecture import Architecture
from bpfcompat.dataclass import dataclass
from bpfcompat.kernels import needs
from bpfcompat.model import Job, Kernel
from bpfcompat.outcome import Outcome, Record
from bpfcompat.system import host
from bpfcompat.verdict import findings, hints
from bpfcompat.workflow import jobs
from bpfcompat.workflow.machines import Machines

if TYPE_CHECKING:
    from bpfcompat.workflow.runner import Result


def now() -> str:
    """Return the time, as records and reports have it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Begun:
    """A job that was begun: when, and what is known of its inputs so far."""

    job: Job
    run_id: str
    parts: dict[str, Any] = field(default_factory=dict)
    """What its key is made of; empty until it is known."""
    started_at: str = field(default_factory=now)
    clock: float = field(default_factory=time.monotonic)

    def record(
        self, machines: Machines, outcome: Outcome, folder: Path | None = None, result: Result | None = None
    ) -> Record:
        """Return the record of what happened.

        folder: of the evidence, if there is any; relative to the work directory.
        """
        profile = self.job.profile
        kernel, chosen = machines.kernels.get(profile), machines.accelerator(profile)
        if kernel:
            from bpfcompat.kernels import vendors  # what a run of stored verdicts does not need

            told = (needs.without_modules(kernel), vendors.news.of(profile, kernel))
            outcome = replace(outcome, notes=(*outcome.notes, *(note for note in told if note)))
            guest = architecture.of(profile.arch)
            outcome = with_asked(_explained(outcome, kernel, guest), self.job, kernel, guest)
        return Record(
            job=self.job.name,
            key=jobs.key(self.parts) if self.parts else "",
            key_parts=self.parts,
            verdict=verdict.decide(outcome, self.job.check.expect, self.job.check.validation, self.job.check.ready),
            outcome=outcome,
            started_at=self.started_at,
            finished_at=now(),
            seconds=round(time.monotonic() - self.clock, 3),
            run_id=self.run_id,
            kernel=_described(kernel) if kernel else {"source": self.job.profile.kernel},
            accelerator=chosen.name if chosen else "",
            boot=("warm" if result.warm else "cold") if result else "",
            qemu=host.qemu_version(machines.board(profile).program),
            qemu_command=result.qemu_command if result else "",
            evidence=str(folder) if folder else None,
        )


def _explained(outcome: Outcome, kernel: Kernel, guest: Architecture) -> Outcome:
    """Return an outcome with what the kernel's files tell about what the validator, or else the loader itself, did not find."""
    found = outcome.findings
    asked = findings.asked_of_host(found) if found else hints.functions_not_found(outcome.stderr.tail)
    if asked is None or (found is None and (not asked or outcome.wait_status == 0)):
        return outcome
    from bpfcompat.kernels import knowledge  # what a run of stored verdicts does not need

    told = knowledge.of(kernel, asked, guest)
    if found:
        return replace(outcome, findings={**found, "host": told})
    notes = [
        f"{name} is a function of the kernel's module {place['module']}" for name, place in told["modules"].items()
    ]
    return replace(outcome, notes=(*outcome.notes, *notes))


def with_asked(outcome: Outcome, job: Job, kernel: Kernel, guest: Architecture) -> Outcome:
    """Return an outcome with what the loader's own objects ask of the kernel, where it was refused without a name.

    It reads the job's files, so only the machine that has them can tell.
    """
    if job.check.validation or outcome.wait_status == 0 or not verdict.asked.needed(outcome.stderr.tail):
        return outcome
    from bpfcompat.guest import embedded
    from bpfcompat.kernels import knowledge

    options = knowledge.of(kernel, (), guest).get("options", {})
    found: dict[str, Any] = {"sections": {}, "helpers": [], "options": options}
    for path in (job.check.binary, job.check.artifact, *job.check.files):
        if path and path.is_file():
            one = embedded.asked(path)
            found["sections"] |= one["sections"]
            found["helpers"] = sorted({*found["helpers"], *one["helpers"]})
    return replace(outcome, asked=found)


def _described(kernel: Kernel) -> dict[str, str]:
    return {
        "source": kernel.source, "version": kernel.version,
        "image_sha256": kernel.image_sha256, "modules_sha256": kernel.modules_sha256,
    }  # fmt: skip

"""One job, run: a machine, a command, an outcome. The heart of the tool; read this first."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

from bpfcompat import verdict
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import NoVerdict
from bpfcompat.model import Check, Payload
from bpfcompat.outcome import COLLECTED, Classification, Outcome, OutcomeKind, Status, TestResult
from bpfcompat.system import processes
from bpfcompat.validation import Validation
from bpfcompat.verdict import findings
from bpfcompat.vm import Machine, bootimage, job, machine
from bpfcompat.workflow import kernel_log
from bpfcompat.workflow.limits import Limits, longest
from bpfcompat.workflow.standby import Standby

_OUT_OF_MEMORY = re.compile(rb"(?:Out of memory|Memory cgroup out of memory): Killed process \d+ \(([^)\n]*)\)")
"""mm/oom_kill.c, the same from 5.10 to 7.3."""


_CONSOLE_BYTES = 1 << 20
"""How far into a command's time a kernel's complaint is looked for."""


@dataclass(frozen=True)
class Request:
    """What it takes to run one job."""

    machine: Machine
    check: Check
    payload: Payload
    disk: Path
    """The payload's image."""
    folder: Path
    """Where the evidence is written."""
    image: Path | None
    """The machine's boot image; None boots it from its start."""
    limits: Limits
    """The one for the whole job ends it without a verdict."""
    retries: int = 0
    """How often a job that came to no verdict is run again."""
    standby: Standby | None = None
    """Where a restored machine may wait."""


@dataclass(frozen=True)
class Result:
    """An outcome, and the machine that showed it."""

    outcome: Outcome
    qemu_command: str = ""
    began: bool = False
    """Its command began."""
    warm: bool = False
    """It was restored from a boot image."""
    booted: float | None = None
    """Seconds of its boot, if it was not."""


def run(request: Request) -> Result:
    """Run a job and return what happened; never raises for what can go wrong with a machine.

    A job that came to no verdict is run again as often as the request says; one that did never is.
    """
    result = _run(request)
    for number in range(1, request.retries + 1):
        if result.outcome.kind is not OutcomeKind.NO_VERDICT or processes.interrupted():
            break
        reason = result.outcome.reason
        _set_aside(request, f"try-{number}")
        result = _noted(_run(request), f"run again ({number} of {request.retries}): {reason}")
    return result


def _run(request: Request) -> Result:
    """Run a job until what happened is certain, or certainly not.

    A boot image that does not come to its command is dropped, and the machine boots from its start; a boot that fails is
    tried once more. A panic, a hang or a loss is confirmed by a second run, booted from its start, before it is believed:
    emulation itself can make a kernel die, and two runs that disagree are no verdict.
    """
    first = _attempt(request, request.folder, request.image)
    if first.outcome.classification is Classification.STAGING_FAILURE:
        return first  # the guest itself says so: it lives, and there is nothing to be gained by another
    if request.image and not first.began and not processes.interrupted():
        bootimage.discard(request.image)
        note = f"its boot image could not be used, and is made anew next time: {first.outcome.reason}"
        first = _noted(_again(request, "restored"), note)
    if first.outcome.classification is Classification.BOOT_FAILURE:
        return _noted(_again(request, "first"), f"the first boot failed: {first.outcome.reason}")
    if first.outcome.kind in (OutcomeKind.ENDED, OutcomeKind.NO_VERDICT):
        return _tried_with_usual_limits(request, first)
    return _confirmed(first, _attempt(request, _subfolder(request, "second")))


def _tried_with_usual_limits(request: Request, first: Result) -> Result:
    """Return a result with a note if its command passes only because a guest lets it lock memory without bounds.

    A command that passes and loads programs on a kernel that charges them to RLIMIT_MEMLOCK runs once more for that.
    """
    check, counted = request.check, first.outcome.counted
    passes = (
        first.outcome.kind is OutcomeKind.ENDED
        and verdict.decide(first.outcome, check.expect, None, check.ready).status is Status.PASS
    )
    if not passes or check.validation or check.limits != "generous" or not (counted and counted.charges_programs):
        return first
    usual = replace(request, check=replace(check, limits="distribution"))
    second = _attempt(usual, _subfolder(request, "limits"), request.image)
    told = verdict.decide(second.outcome, check.expect, None, check.ready)
    if second.outcome.kind is not OutcomeKind.ENDED or told.status is Status.PASS:
        return first
    return _noted(
        first,
        f"it passes because a guest may lock memory without bounds; with the {counted.usual_memlock_kib} KiB of a distribution"
        f" (`limits: distribution`) it does not: {told.reason}",
    )


def _again(request: Request, name: str) -> Result:
    """Run a job anew from a cold boot; the logs of the attempt before are set aside under `name`."""
    _set_aside(request, name)
    return _attempt(request, request.folder)


def _set_aside(request: Request, name: str) -> None:
    aside = _subfolder(request, name)
    for left in [*request.folder.glob("*.log"), *request.folder.glob(COLLECTED)]:
        left.replace(aside / left.name)


def _confirmed(first: Result, second: Result) -> Result:
    """Return the first result if the second says the same, else that there is no verdict."""
    if second.outcome.kind is first.outcome.kind and _step(second.outcome) == _step(first.outcome):
        return _noted(first, "a second run ended in the same way")
    if second.outcome.kind is OutcomeKind.NO_VERDICT:
        reason = f"{first.outcome.reason} That could not be confirmed: {second.outcome.reason}"
    else:
        how = (
            "ended normally"
            if second.outcome.kind is OutcomeKind.ENDED
            else f"ended otherwise: {second.outcome.reason}"
        )
        reason = f"Two runs disagree. First: {first.outcome.reason} A second run {how}"
    return replace(
        first,
        outcome=replace(first.outcome, kind=OutcomeKind.NO_VERDICT, classification=Classification.FLAKY, reason=reason),
    )


def _step(outcome: Outcome) -> tuple[bool, bool]:
    """Return how far a command came that does not end by itself."""
    told = outcome.readiness
    return (told.seen is not None, told.signalled) if told else (False, False)


def _subfolder(request: Request, name: str) -> Path:
    folder = request.folder / name
    folder.mkdir(exist_ok=True)
    return folder


def _noted(result: Result, note: str) -> Result:
    return replace(result, outcome=replace(result.outcome, notes=(*result.outcome.notes, note)))


def _attempt(request: Request, folder: Path, image: Path | None = None) -> Result:
    started = time.monotonic()
    limits = request.limits
    end = started + limits.total
    line, began, console_before, booted = "", False, 0, None
    try:
        deadline = min(end, started + limits.boot)
        with _waiting_guest(request, folder, image, deadline) as guest:
            line, booted = guest.command_line, None if image else time.monotonic() - started
            observed = guest.begin(job.of_check(request.check, request.payload), deadline, request.check.ready)
            began, console_before = True, guest.console_before
            left = end - time.monotonic()
            outcome = guest.finish(limits.command, left)
        outcome = replace(outcome, observed=observed, limit_seconds=limits.command)
        if outcome.kind is OutcomeKind.TIMEOUT:
            outcome = _timed_out(outcome, request, left, guest.starved)
        if outcome.kind is OutcomeKind.ENDED:
            notes = (*outcome.notes, *verdict.unknown_words(outcome.counted))
            outcome = replace(outcome, out_of_memory=_killed_for_memory(outcome, folder), notes=notes)
            outcome = _told(request.check, outcome, folder)
    except NoVerdict as error:
        outcome = error.outcome()
    outcome = _with_results(outcome, request.check, folder)
    outcome = _with_kernels_word(outcome, request.check, folder, console_before)
    return Result(outcome, line, began, warm=image is not None, booted=booted)


def _waiting_guest(request: Request, folder: Path, image: Path | None, deadline: float) -> machine.Guest:
    if image and request.standby and (guest := request.standby.guest(request.machine, image, request.disk, folder)):
        return guest
    return bootimage.waiting_guest(request.machine, image, request.disk, folder, deadline)


def _timed_out(outcome: Outcome, request: Request, left: float, starved: str) -> Outcome:
    """Return what it means that a command was still running.

    left: seconds of the whole job that there were when it began.
    starved: how this host kept the guest from running, if it did.
    """
    limits = request.limits
    notes = (*outcome.notes, *(note for note in (starved, limits.note) if note))
    outcome = replace(outcome, notes=notes)
    if left < longest(request.check, limits.command):
        reason = (
            f"the limit for the whole job ({limits.total:g} s) ended it before the command's own"
            f" ({limits.command:g} s) was up; raise --timeout."
        )
        return replace(outcome, kind=OutcomeKind.NO_VERDICT, classification=Classification.HOST_FAILURE, reason=reason)
    if starved and limits.command_is_default:
        told, key = verdict.decide(outcome, request.check.expect, None, request.check.ready), "timeout:"
        if outcome.readiness and outcome.readiness.seen is None:
            key = "within:"
        reason = f"{told.reason} But {starved}. Run it again, or say with `{key}` how long it may take."
        return replace(
            outcome, kind=OutcomeKind.NO_VERDICT, classification=Classification.HOST_OVERLOADED, reason=reason
        )
    return outcome


def _matched(check: Check, outcome: Outcome, folder: Path) -> Outcome:
    """Return an outcome with what its streams say to the expectation's patterns."""
    expect = check.expect
    if not any((expect.stdout, expect.stderr, expect.not_stdout, expect.not_stderr)):
        return outcome
    stdout, stderr = ((folder / f"{name}.log").read_bytes() for name in ("stdout", "stderr"))
    streams = {"stdout": outcome.stdout, "stderr": outcome.stderr}
    truncated = frozenset(name for name, stream in streams.items() if stream.truncated)
    notes = (*outcome.notes, *verdict.unseen(expect, truncated))
    return replace(outcome, mismatches=verdict.mismatches(expect, stdout, stderr, truncated), notes=notes)


def _told(check: Check, outcome: Outcome, folder: Path) -> Outcome:
    """Return an outcome with what its streams tell: to patterns, or as the validator's findings."""
    if check.validation is None:
        return _matched(check, outcome, folder)
    return outcome if _validator_was_killed(outcome, folder) else _examined(check.validation, outcome, folder)


def _validator_was_killed(outcome: Outcome, folder: Path) -> bool:
    """Tell whether the guest's kernel killed the validator, or its child that reads the object, for want of memory: it counts that."""
    if outcome.counted is None or outcome.counted.memory_kills <= 0:
        return False
    with contextlib.suppress(ValueError):
        said = findings.readable((folder / "stdout.log").read_bytes())
        return bool(said.get("crashed") == signal.SIGKILL)
    return outcome.wait_status != 0


def _examined(validation: Validation, outcome: Outcome, folder: Path) -> Outcome:
    """Return an outcome with what the validator found, or without a verdict if it did not come to its end."""

    def failed(reason: str, classification: Classification = Classification.HOST_FAILURE) -> Outcome:
        kind = OutcomeKind.NO_VERDICT
        return replace(outcome, kind=kind, classification=classification, reason=f"the validator {reason}")

    last = (outcome.stderr.tail.splitlines() or [""])[-1]
    if outcome.wait_status != 0:
        return failed(f"itself failed (wait status {outcome.wait_status}): {last}")
    try:
        found = findings.readable((folder / "stdout.log").read_bytes())
    except ValueError as error:
        return failed(f"said something that cannot be read: {error}")
    if crash := findings.crash(found):
        kind, classification = OutcomeKind.NO_VERDICT, Classification.LOADER_NOT_RUNNABLE
        return replace(outcome, kind=kind, classification=classification, reason=f"the object {crash} on this kernel.")
    if found["open_errno"]:
        return failed(f"could not open the object: {last}", Classification.LOADER_NOT_RUNNABLE)
    return replace(outcome, findings=found, notes=(*outcome.notes, *findings.notes(found, validation)))


def _with_results(outcome: Outcome, check: Check, folder: Path) -> Outcome:
    """Return an outcome with what its command told of its tests, also if it did not come to its end."""
    if check.results is None or outcome.observed is None:
        return outcome
    from bpfcompat.verdict import results  # few checks need its patterns

    place = f"the file {check.results_path}" if check.results_path else "stdout"
    path = folder / COLLECTED / check.results_path if check.results_path else folder / "stdout.log"
    found: tuple[TestResult, ...] = ()
    notes = []
    try:
        with path.open("rb") as file:
            content = file.read(results.BYTES_AT_MOST)
            whole = not file.read(1) and (check.results_path is not None or not outcome.stdout.truncated)
        found = results.read(content.decode(errors="replace"), check.results, whole)
        if not whole:
            notes.append(f"{place} is too long: of its tests some in the middle, or at the end, are not told")
    except FileNotFoundError:
        notes.append(f"there are no test results: {place} did not come out of the guest")
    except OSError as error:
        notes.append(f"there are no test results in {place}: {error.strerror}")
    except ValueError as error:
        notes.append(f"there are no test results in {place}{'' if whole else ', which is too long'}: {error}")
    if len(found) == results.AT_MOST:
        notes.append(f"of its tests the first {len(found):,} are kept")
    if outcome.wait_status == 0 and (failed := [one.name for one in found if one.status == "fail"]):
        of_all = f"{len(failed)} of its {len(found)} tests"
        notes.append(f"it exits 0, though it says of {of_all} that they failed: {', '.join(failed[:3])}")
    return replace(outcome, results=found, notes=(*outcome.notes, *notes))


def _with_kernels_word(outcome: Outcome, check: Check, folder: Path, console_before: int) -> Outcome:
    """Return an outcome with what its kernel said of it, and without a verdict where it had to say something and did not."""
    outcome = replace(outcome, kernel_log=kernel_log.last(folder, console_before, machine.TAIL_BYTES))
    if tainted := verdict.taint.sentence(outcome.taint):
        said = kernel_log.said(folder, console_before, _CONSOLE_BYTES)
        outcome = replace(outcome, splat=verdict.taint.splat(outcome.taint, said), notes=(*outcome.notes, tainted))
    if check.expect.kernel and outcome.kind is OutcomeKind.ENDED and outcome.taint is None:
        reason = "This kernel does not tell what taints it (/proc/sys/kernel/tainted), which `expect: {kernel: clean}` is about."
        return replace(
            outcome, kind=OutcomeKind.NO_VERDICT, classification=Classification.KERNEL_UNAVAILABLE, reason=reason
        )
    return outcome


def _killed_for_memory(outcome: Outcome, folder: Path) -> str | None:
    """Return what the kernel killed for want of memory: that it did, it counts; what, its log says."""
    if outcome.counted and outcome.counted.memory_kills == 0:
        return None
    found = _OUT_OF_MEMORY.findall((folder / "console.log").read_bytes())
    named = str(found[-1].decode(errors="replace")) if found else None
    return named or ("a process" if outcome.counted and outcome.counted.memory_kills > 0 else None)

"""From what happened to what it means. Pure: no text is ever matched to decide between pass and fail but the user's own patterns."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bpfcompat.model import Expectation, Ready
from bpfcompat.outcome import Classification, Counted, Outcome, OutcomeKind, Status, Verdict
from bpfcompat.verdict import readiness, taint

if TYPE_CHECKING:
    from bpfcompat.validation import Validation

_AFTER_BEGIN = {
    OutcomeKind.PANIC: Classification.KERNEL_PANIC,
    OutcomeKind.TIMEOUT: Classification.COMMAND_TIMEOUT,
    OutcomeKind.LOST: Classification.GUEST_LOST,
}
_NOT_STORED = {Classification.COMMAND_TIMEOUT, Classification.GUEST_LOST, Classification.ENDED_BEFORE_SIGNAL}
"""Failures that another run may not repeat."""


def decide(
    outcome: Outcome, expect: Expectation, validation: Validation | None = None, ready: Ready | None = None
) -> Verdict:
    """Return what an outcome means.

    validation: what the validator was asked, if it was its run; its findings then decide instead of the expectation.
    ready: the sign of a command that does not end by itself.
    """
    if outcome.kind is OutcomeKind.NO_VERDICT:
        return Verdict(Status.INFRA_ERROR, outcome.classification, outcome.reason, failed_stage="infra")
    if outcome.kind is not OutcomeKind.ENDED or outcome.wait_status is None:
        timed_out = outcome.kind is OutcomeKind.TIMEOUT
        why = readiness.failure(outcome, ready, "") if ready else None
        classification, reason = why or (_AFTER_BEGIN[outcome.kind], outcome.reason)
        if timed_out and validation:
            reason = f"{reason.rstrip('.')}: it is the validator, which loads and attaches the object."
        return Verdict(Status.FAIL, classification, reason, failed_stage="command", timed_out=timed_out)
    if validation and outcome.findings is not None:
        from bpfcompat.verdict import findings  # with it comes what only objects without a loader need

        found = findings.verdict(outcome.findings, validation)
        return replace(found, reason=found.reason + _killed(outcome)) if found.failed_stage == "functional" else found
    if validation:
        reason = f"The object was not tried to its end.{_killed(outcome)}"  # nothing else comes here without findings
        return Verdict(Status.FAIL, Classification.RESOURCE_LIMIT, reason, failed_stage="load")
    return _ended(outcome, outcome.wait_status, expect, ready)


def _ended(outcome: Outcome, status: int, expect: Expectation, ready: Ready | None) -> Verdict:
    """Return what the end of a command means."""
    killed_by = _signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
    exit_code = 128 + os.WTERMSIG(status) if killed_by else os.WEXITSTATUS(status)
    core = os.WIFSIGNALED(status) and os.WCOREDUMP(status)
    classification = Classification.COMMAND_VALIDATION_FAILURE
    tainted = taint.sentence(outcome.taint) if expect.kernel == "clean" else ""
    as_expected = exit_code == expect.exit and not outcome.mismatches
    ending = f"was killed by {killed_by}" if killed_by else f"exited {exit_code}"
    if ready and (why := readiness.failure(outcome, ready, ending)):
        return Verdict(Status.FAIL, *why, "command", exit_code, killed_by, core)
    if as_expected and not tainted:
        return Verdict(Status.PASS, exit_code=exit_code, signal=killed_by, core_dumped=core)
    if as_expected:
        classification, reason = Classification.KERNEL_TAINTED, f"The command did what is expected, but {tainted}."
    elif exit_code == expect.exit:
        reason = " ".join(outcome.mismatches)
    else:
        expected = (
            f"expected {'exit ' if killed_by else ''}{expect.exit}{f', after SIG{ready.signal}' if ready else ''}"
        )
        reason = f"Command {ending} ({expected}) on this kernel."
    return Verdict(Status.FAIL, classification, reason + _killed(outcome), "command", exit_code, killed_by, core)


def _killed(outcome: Outcome) -> str:
    """Return a sentence on what the guest's kernel killed for want of memory; empty if it killed nothing."""
    if outcome.out_of_memory is None:
        return ""
    return f" The guest ran out of memory, and its kernel killed '{outcome.out_of_memory}'."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def is_certain(verdict: Verdict) -> bool:
    """Tell whether a verdict may be stored: it would come out the same again."""
    return (
        verdict.status is not Status.INFRA_ERROR and verdict.classification not in _NOT_STORED and not verdict.timed_out
    )


def mismatches(
    expect: Expectation, stdout: bytes, stderr: bytes, truncated: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Return a sentence for each pattern of the expectation that does not hold for the kept streams.

    truncated: the names of the streams that are not kept whole.
    """
    found = []
    for name, text, wanted, unwanted in _patterns(expect, stdout, stderr):
        decoded = text.decode(errors="replace")
        suffix = " (the output was too long to be kept whole)" if name in truncated else ""
        if wanted is not None and not re.search(wanted, decoded, re.MULTILINE):
            found.append(f"Nothing in {name} matches /{wanted}/{suffix}.")
        if unwanted is not None and re.search(unwanted, decoded, re.MULTILINE):
            found.append(f"Something in {name} matches /{unwanted}/, which must not be there.")
    return tuple(found)


def unseen(expect: Expectation, truncated: frozenset[str]) -> tuple[str, ...]:
    """Return a note for each pattern that was looked for in a part of its stream only."""
    return tuple(
        f"the patterns of {name} were looked for in its beginning and end only: it was too long to be kept whole"
        for name, _, wanted, unwanted in _patterns(expect, b"", b"")
        if name in truncated and (wanted, unwanted) != (None, None)
    )


def unknown_words(counted: Counted | None) -> tuple[str, ...]:
    """Return a note on words of the command line that the kernel does not know, if the guest told of any."""
    # What a kernel says of that has our words in it, too, where it does not know one of these.
    own = ("console=", "panic=", "quiet", "cryptomgr", "no_timer_check", "BOOT_IMAGE")
    unknown = [word for word in counted.unknown_words.split() if not word.startswith(own)] if counted else []
    return (f"the kernel does not know these words of its command line: {' '.join(unknown)}",) if unknown else ()


def _patterns(expect: Expectation, stdout: bytes, stderr: bytes) -> Iterator[tuple[str, bytes, str | None, str | None]]:
    yield "stdout", stdout, expect.stdout, expect.not_stdout
    yield "stderr", stderr, expect.stderr, expect.not_stderr

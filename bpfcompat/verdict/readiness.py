"""What became of a command that does not end by itself: its sign, what ran meanwhile, its signal."""

from __future__ import annotations

import os

from bpfcompat.model import Ready
from bpfcompat.outcome import Classification, Outcome, OutcomeKind, Readiness

Failure = tuple[Classification, str]
"""A class and the sentence that goes with it."""


def described(ready: Ready) -> str:
    """Return a sign as a part of a sentence."""
    if ready.stream:
        return f"a match of /{ready.pattern}/ in {ready.stream}"
    return f"the file {ready.file}" if ready.file else "READY=1 by sd_notify"


def failure(outcome: Outcome, ready: Ready, ending: str) -> Failure | None:
    """Return why a command that was to be ready failed, or None if its end alone decides.

    ending: how it ended, as a part of a sentence; empty if it did not.
    """
    if outcome.readiness and outcome.kind is OutcomeKind.TIMEOUT:
        return _never_ended(outcome.readiness, ready, outcome.reason)
    if outcome.readiness and outcome.kind is OutcomeKind.ENDED:
        return _ended(outcome.readiness, ready, ending)
    return None


def _never_ended(told: Readiness, ready: Ready, reason: str) -> Failure:
    if told.seen is None:
        why = f"The command ran, but {described(ready)} was not seen within {ready.within:g} s."
        return Classification.READY_NOT_SEEN, why
    if told.signalled:
        why = f"The command was ready and got SIG{ready.signal}, but did not end. {reason}"
        return Classification.IGNORED_SIGNAL, why
    return Classification.COMMAND_TIMEOUT, f"The command was ready, but `while_ready` did not end. {reason}"


def _ended(told: Readiness, ready: Ready, ending: str) -> Failure | None:
    sign = described(ready)
    if told.seen is None:
        return Classification.ENDED_BEFORE_READY, f"The command {ending} before {sign} was seen."
    if not told.signalled:
        why = f"The command {ending} by itself: {sign} was seen, but it did not wait for SIG{ready.signal}."
        return Classification.ENDED_BEFORE_SIGNAL, why
    if told.meanwhile:
        killed = os.WIFSIGNALED(told.meanwhile)
        how = (
            f"was killed by signal {os.WTERMSIG(told.meanwhile)}"
            if killed
            else f"exited {os.WEXITSTATUS(told.meanwhile)}"
        )
        return (
            Classification.COMMAND_VALIDATION_FAILURE,
            f"The command was ready, but `while_ready` {how} (expected 0).",
        )
    return None

"""Each step of a command that does not end by itself has its own sentence when it fails."""

import pytest

from bpfcompat import verdict
from bpfcompat.model import Expectation, Ready
from bpfcompat.outcome import Classification, Outcome, OutcomeKind, Readiness, Status

READY = Ready("stdout", "attached", meanwhile="probe")
END, TIMEOUT = OutcomeKind.ENDED, OutcomeKind.TIMEOUT


@pytest.mark.parametrize(
    ("kind", "told", "classification", "words"),
    [
        (END, Readiness(0.1, 0, True), None, ""),
        (END, Readiness(), "ENDED_BEFORE_READY", "exited 0 before a match of /attached/ in stdout was seen"),
        (END, Readiness(0.1), "ENDED_BEFORE_SIGNAL", "did not wait for SIGINT"),
        (END, Readiness(0.1, 3 << 8, True), "COMMAND_VALIDATION_FAILURE", "`while_ready` exited 3 (expected 0)"),
        (END, Readiness(0.1, 9, True), "COMMAND_VALIDATION_FAILURE", "`while_ready` was killed by signal 9"),
        (TIMEOUT, Readiness(), "READY_NOT_SEEN", "was not seen within 20 s"),
        (TIMEOUT, Readiness(0.1), "COMMAND_TIMEOUT", "`while_ready` did not end"),
        (TIMEOUT, Readiness(0.1, 0, True), "IGNORED_SIGNAL", "got SIGINT, but did not end"),
        (OutcomeKind.PANIC, Readiness(0.1), "KERNEL_PANIC", "panicked"),
    ],
)
def test_what_is_said_of_each_step(kind, told, classification, words):
    outcome = Outcome(kind, "It panicked." if kind is OutcomeKind.PANIC else "", wait_status=0, readiness=told)
    found = verdict.decide(outcome, Expectation(), ready=READY)
    assert found.classification == (Classification(classification) if classification else None)
    assert (found.status is Status.PASS) == (classification is None)
    assert words in found.reason


def test_the_exit_code_counts_after_the_signal():
    outcome = Outcome(END, wait_status=4 << 8, readiness=Readiness(0.1, 0, True))
    found = verdict.decide(outcome, Expectation(), ready=READY)
    assert found.reason == "Command exited 4 (expected 0, after SIGINT) on this kernel."

"""Wait status, panic, timeout -> verdict."""

import signal
from dataclasses import replace

import pytest

from bpfcompat import verdict
from bpfcompat.model import Expectation
from bpfcompat.outcome import Classification, Counted, Outcome, OutcomeKind, Status
from bpfcompat.validation import Validation

ENDED = Outcome(OutcomeKind.ENDED, wait_status=0)


@pytest.mark.parametrize(
    ("status", "expected", "result", "code", "name"),
    [
        (0, 0, Status.PASS, 0, None),
        (7 << 8, 0, Status.FAIL, 7, None),
        (7 << 8, 7, Status.PASS, 7, None),
        (0, 7, Status.FAIL, 0, None),
        (255 << 8, 0, Status.FAIL, 255, None),
        (signal.SIGKILL, 0, Status.FAIL, 137, "SIGKILL"),
        (signal.SIGSEGV | 0x80, 0, Status.FAIL, 139, "SIGSEGV"),
        (signal.SIGKILL, 137, Status.PASS, 137, "SIGKILL"),
    ],
)
def test_a_wait_status_becomes_a_verdict(status, expected, result, code, name):
    found = verdict.decide(replace(ENDED, wait_status=status), Expectation(expected))
    assert (found.status, found.exit_code, found.signal) == (result, code, name)
    assert found.core_dumped == bool(status & 0x80)
    assert (found.classification is Classification.COMMAND_VALIDATION_FAILURE) == (result is Status.FAIL)


def test_the_sentence_of_the_contract():
    found = verdict.decide(replace(ENDED, wait_status=7 << 8), Expectation())
    assert found.reason == "Command exited 7 (expected 0) on this kernel."
    assert found.failed_stage == "command"


@pytest.mark.parametrize(
    ("kind", "classification", "stored"),
    [
        (OutcomeKind.PANIC, Classification.KERNEL_PANIC, True),
        (OutcomeKind.TIMEOUT, Classification.COMMAND_TIMEOUT, False),
        (OutcomeKind.LOST, Classification.GUEST_LOST, False),
    ],
)
def test_what_ends_without_an_end_is_a_failure(kind, classification, stored):
    found = verdict.decide(Outcome(kind, "why"), Expectation())
    assert (found.status, found.classification, found.failed_stage) == (Status.FAIL, classification, "command")
    assert found.timed_out == (kind is OutcomeKind.TIMEOUT)
    assert verdict.is_certain(found) == stored


@pytest.mark.parametrize(
    "classification", [Classification.BOOT_FAILURE, Classification.FLAKY, Classification.HOST_FAILURE]
)
def test_no_verdict_is_never_a_failure_and_never_stored(classification):
    found = verdict.decide(Outcome(OutcomeKind.NO_VERDICT, "why", classification), Expectation(exit=1))
    assert (found.status, found.failed_stage) == (Status.INFRA_ERROR, "infra")
    assert not verdict.is_certain(found)


def test_an_end_without_a_status_is_never_a_pass():
    assert verdict.decide(Outcome(OutcomeKind.LOST), Expectation()).status is Status.FAIL


def test_matchers_search_the_streams():
    expect = Expectation(stdout="^attached", not_stderr="libbpf: failed")
    assert verdict.mismatches(expect, b"x\nattached\n", b"") == ()
    assert len(verdict.mismatches(expect, b"no", b"libbpf: failed to load")) == 2
    assert "too long" in verdict.mismatches(expect, b"no", b"", frozenset({"stdout"}))[0]
    assert "too long" not in verdict.mismatches(expect, b"no", b"", frozenset({"stderr"}))[0]
    failed = verdict.decide(replace(ENDED, mismatches=("Nothing in stdout matches /x/.",)), Expectation())
    assert (failed.status, failed.reason) == (Status.FAIL, "Nothing in stdout matches /x/.")


def test_a_pattern_that_was_not_looked_for_everywhere_says_so():
    expect = Expectation(not_stderr="failed")
    assert verdict.unseen(expect, frozenset({"stdout"})) == ()
    (note,) = verdict.unseen(expect, frozenset({"stdout", "stderr"}))
    assert "stderr" in note


def test_a_validator_that_was_killed_for_want_of_memory_is_no_fault_of_the_kernel():
    killed = replace(ENDED, wait_status=signal.SIGKILL, out_of_memory="validator")
    found = verdict.decide(killed, Expectation(), Validation())
    assert (found.status, found.classification, found.failed_stage) == (
        Status.FAIL,
        Classification.RESOURCE_LIMIT,
        "load",
    )
    assert found.reason == (
        "The object was not tried to its end. The guest ran out of memory, and its kernel killed 'validator'."
    )


def test_words_that_a_kernel_does_not_know_are_told_without_our_own():
    counted = Counted(0, False, 64, "console=ttyS0 no_timer_check lockdwn=integrity cryptomgr.notests foo")
    assert verdict.unknown_words(counted) == (
        "the kernel does not know these words of its command line: lockdwn=integrity foo",
    )
    assert verdict.unknown_words(replace(counted, unknown_words="panic=-1")) == ()
    assert verdict.unknown_words(None) == ()

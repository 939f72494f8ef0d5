"""A machine that has no time for its guests says nothing about their kernels."""

import os
import subprocess
import sys

import pytest

from bpfcompat.model import Ready
from bpfcompat.outcome import Classification, Status
from bpfcompat.workflow import limits
from bpfcompat.workflow.session import Options


@pytest.fixture
def overload():
    """Three processes for each processor, each in a session of its own: a scheduler that shares by sessions shares by these."""
    busy = [sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(busy, start_new_session=True) for _ in range(3 * len(os.sched_getaffinity(0)))]
    yield
    for hog in hogs:
        hog.kill()
        hog.wait()


@pytest.mark.slow
def test_only_a_limit_of_our_own_is_excused_by_a_busy_machine(verdicts, monkeypatch, overload):
    monkeypatch.setattr(limits, "DEFAULT_COMMAND_SECONDS", 3.0)
    monkeypatch.setattr(limits, "_SLOWEST", 1.0)
    # A boot takes as long as these processes let it: the second one, which confirms a hang, is a cold one.
    unhurried = Options(boot_seconds=3600, total_seconds=7200)
    (ours,) = verdicts("while :; do :; done", options=unhurried)
    assert (ours.verdict.status, ours.verdict.classification) == (Status.INFRA_ERROR, Classification.HOST_OVERLOADED)
    assert "waited for one" in ours.verdict.reason
    (unseen,) = verdicts("while :; do :; done", options=unhurried, ready=Ready("stdout", "attached", within=3.0))
    assert unseen.verdict.classification is Classification.HOST_OVERLOADED
    assert "was not seen within 3 s. But this machine was overloaded" in unseen.verdict.reason
    (given,) = verdicts("while :; do :; done", timeout=3.0, options=unhurried)
    assert given.verdict.classification is Classification.COMMAND_TIMEOUT
    assert any("this machine was overloaded" in note for note in given.outcome.notes)

"""Limits: today's on a usual machine, longer where boots take longer, and what the user gives as it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat.model import Check, Job, Kernel, Profile
from bpfcompat.vm import Machine, share
from bpfcompat.workflow import limits

KERNEL = Kernel("path:k", "k", Path("k"), "a" * 64, (), "b" * 64)
OTHER = replace(KERNEL, image_sha256="c" * 64)
MACHINE = Machine("qemu", "tcg", 512, 1, Path("k"), Path("i"))
JOB = Job(Check("true"), Profile("p", "path:k"), "p")


@pytest.fixture
def pace(tmp_path):
    return limits.Pace(tmp_path)


def of(pace, job=JOB, accelerator="tcg", kernel=KERNEL, boot=None, total=None):
    return limits.of(pace, job, accelerator, kernel, boot, total)


def test_a_machine_that_is_not_known_or_fast_has_the_usual_limits(pace):
    usual = limits.Limits(30, 60, 180, command_is_default=True)
    assert of(pace) == usual
    pace.booted(MACHINE, KERNEL, 0.9)
    assert of(pace) == usual
    assert of(pace, accelerator="kvm") == usual


def test_a_slow_machine_has_more_and_says_so(pace):
    for seconds in (15.0, 15.0, 500.0):  # one that was held up does not count
        pace.booted(MACHINE, KERNEL, seconds)
    found = of(pace)
    assert (found.boot, found.command, found.total) == (150, 300, 450)
    assert (
        found.note == "the command's limit was 300 s instead of 60 s, because this machine takes 15 s to boot a kernel"
    )
    assert of(pace, kernel=OTHER).boot == 150  # not booted here yet, so it counts as the others
    assert of(pace, accelerator="kvm").boot == 30  # which says nothing about KVM
    for _ in range(5):
        pace.booted(MACHINE, KERNEL, 2.0)
    assert of(pace).boot == 30  # it has become faster


def test_limits_have_an_end(pace):
    pace.booted(MACHINE, KERNEL, 10_000.0)
    assert of(pace).command == 1200


def test_what_the_user_gives_is_taken_as_it_is(pace):
    pace.booted(MACHINE, KERNEL, 30.0)
    by_check = of(pace, replace(JOB, check=replace(JOB.check, timeout=5.0)), boot=7.0, total=20.0)
    assert by_check == limits.Limits(7, 5, 20, command_is_default=False)
    assert of(pace, replace(JOB, profile=replace(JOB.profile, timeout=9.0))).command == 9


def test_a_damaged_memory_of_boots_is_none(pace, tmp_path):
    for text in ("{", "[]", '{"tcg x": 1}'):
        (tmp_path / "boots.json").write_text(text)
        assert of(pace).boot == 30
        pace.booted(MACHINE, KERNEL, 1.0)


@pytest.mark.parametrize(
    ("ran", "waited", "lacks"),
    [
        (1.0, 8.0, True),  # it wanted to run all the time, and others did
        (9.5, 0.1, False),  # a loop that never ends
        (0.1, 0.1, False),  # a command that sleeps
        (0.2, 2.0, False),  # one that sleeps on a busy machine
        (6.0, 4.0, False),  # slow, but not stopped
    ],
)
def test_a_guest_lacks_a_processor_if_it_wanted_one_and_did_not_get_it(ran, waited, lacks):
    found = share.lack(share.Share(3.0, 5.0, 100.0), share.Share(3.0 + ran, 5.0 + waited, 110.0))
    assert bool(found) is lacks
    assert share.lack(None, share.Share(1, 9, 10)) == ""  # some kernels do not count

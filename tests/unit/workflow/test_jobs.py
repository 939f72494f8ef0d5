"""Jobs and their keys."""

from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat.model import (
    Check,
    Expectation,
    Job,
    Kernel,
    Matrix,
    Payload,
    Profile,
    Project,
    Shipped,
)
from bpfcompat.vm import qemu
from bpfcompat.workflow import jobs

MACHINE = qemu.Machine("qemu", "tcg", 512, 1, Path("/k/vmlinuz"), Path("/k/initramfs"))

CHECK = Check(command="x", env=(("A", "1"),))

KERNEL = Kernel("path:x", "6.1", Path("/k/vmlinuz"), "1" * 64, (), "2" * 64)

PAYLOAD = Payload("4" * 64)


def key(check=CHECK, kernel=KERNEL, kit="3" * 64, payload=PAYLOAD, machine=MACHINE):
    return jobs.key(jobs.key_parts(Job(check, Profile("a", "path:x"), "a"), kernel, kit, payload, machine))


@pytest.mark.parametrize(
    "changed",
    [
        {"check": replace(CHECK, command="y")},
        {"check": replace(CHECK, env=(("A", "2"),))},
        {"check": replace(CHECK, expect=Expectation(1))},
        {"check": replace(CHECK, expect=Expectation(stdout="x"))},
        {"kernel": replace(KERNEL, image_sha256="5" * 64)},
        {"kernel": replace(KERNEL, modules_sha256="5" * 64)},
        {"kit": "6" * 64},
        {"kernel": replace(KERNEL, config_sha256="5" * 64)},
        {"kernel": replace(KERNEL, headers_sha256="5" * 64)},
        {"payload": Payload("5" * 64)},
        {"payload": Payload("4" * 64, binary=Shipped("/b", "b", "6" * 64, 1))},
        {"machine": replace(MACHINE, memory=1024)},
        {"machine": replace(MACHINE, cpus=2)},
        {"machine": replace(MACHINE, cmdline="lsm=bpf")},
        {"machine": replace(MACHINE, accelerator="kvm")},
    ],
)
def test_everything_that_shapes_a_verdict_is_in_its_key(changed):
    assert key(**changed) != key()


@pytest.mark.parametrize(
    "changed",
    [
        {"check": replace(CHECK, timeout=1.0)},
        {"check": replace(CHECK, name="other")},
        {"kernel": replace(KERNEL, source="apt:y", version="9", image=Path("/elsewhere"))},
        {"machine": replace(MACHINE, image=Path("/elsewhere"), initramfs=Path("/there"), binary="/opt/qemu")},
        {"payload": Payload("4" * 64, image=Path("/tmp/x"))},
    ],
)
def test_places_and_limits_are_not(changed):
    assert key(**changed) == key()


def test_jobs_follow_the_matrix():
    profiles = (Profile("a", "path:x"), Profile("b", "path:y"))
    one = Project((CHECK,), Matrix(profiles), Path("w"))
    assert [job.name for job in jobs.plan(one)] == ["a", "b"]
    two = replace(one, checks=(replace(CHECK, name="p"), replace(CHECK, name="q")))
    assert [job.name for job in jobs.plan(two)] == ["a/p", "a/q", "b/p", "b/q"]

"""The pure parts: verdicts, keys, QEMU's arguments, the archive, identities, control lines."""

import signal
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat import verdict
from bpfcompat.guest import PROTOCOL, initramfs
from bpfcompat.guest.initramfs import Userland
from bpfcompat.kernels.sources import apt
from bpfcompat.model import (
    Check,
    Classification,
    Expectation,
    Job,
    Kernel,
    Matrix,
    Outcome,
    OutcomeKind,
    Payload,
    Profile,
    Project,
    Shipped,
    Status,
)
from bpfcompat.report import identity
from bpfcompat.system import digest
from bpfcompat.vm import console, qemu
from bpfcompat.workflow import jobs

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


@pytest.mark.parametrize(
    ("command", "expected", "binary", "invocation", "artifact"),
    [
        (
            "true", 0, None,
            "f7b3ac422e1d625022b815ff6852054d0907451edcda6676d11726d5b1642495",
            "211c763d66ec8102cbd0379144375a412656c6f8211065478f98c73201a57c5b",
        ),
        (
            "loader --self-test", 0, None,
            "47cccad9dda73bc62c2360e8ad236e349f85ef68990dcb87689b18e8cfc584d1",
            "dd7e8b9b62587037d7fa03f00b00f5dc09d68e1b654e93bfda38933a611f1451",
        ),
        (
            "x", 0, b"loader-v1",
            "bcfe0b24e4cdcbfa8c5ee923586a32e9bf66efb2d6db9094dec2c9a7c2e0a908",
            "16a6747c5534b60b112ff6637658fc8d11b94e8c9e96d135844edb0f71d16d23",
        ),
    ],
)  # fmt: skip
def test_identity_vectors_of_the_contract(command, expected, binary, invocation, artifact):
    found = identity.of_command(f"  {command}\n", expected, digest.of_bytes(binary) if binary else None)
    assert (found.invocation_sha256, found.artifact_sha256) == (invocation, artifact)


MACHINE = qemu.Machine("qemu", "tcg", 512, 1, Path("/k/vmlinuz"), Path("/k/initramfs"))


def test_the_arguments_of_qemu():
    arguments = qemu.argv(MACHINE, [5, 6, 7, 8], 9, Path("/p/a,b.ext4"))
    text = " ".join(arguments)
    assert [a for a in arguments if a.startswith("chardev:")] == [f"chardev:{name}" for name in qemu.SERIAL_PORTS]
    for name, number in zip(qemu.SERIAL_PORTS, (5, 6, 7, 8), strict=True):
        assert f"socket,id={name},fd={number}" in arguments
    assert "file=/p/a,,b.ext4" in text
    for wanted in ("-nodefaults", "-no-user-config", "-no-reboot", "-nic none", "readonly=on", "-sandbox on"):
        assert wanted in text


def test_emulated_processors_share_one_thread():
    assert "tcg,thread=single" in qemu.argv(replace(MACHINE, cpus=4), [1, 2, 3, 4], 5, Path("p"))
    assert "kvm" in qemu.argv(replace(MACHINE, accelerator="kvm"), [1, 2, 3, 4], 5, Path("p"))


def test_a_profile_adds_to_the_kernel_command_line():
    line = replace(MACHINE, cmdline="lsm=bpf  foo").kernel_command_line
    assert line.endswith("lsm=bpf foo")
    assert "panic=-1" in line


def test_the_archive_is_the_one_that_cpio_reads(tmp_path):
    for name in ("init", "bash", "busybox"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    (tmp_path / "00-x.ko").write_bytes(b"module")
    userland = Userland(tmp_path / "init", tmp_path / "bash", tmp_path / "busybox")
    data = initramfs.pack(userland, ["ls", "cat"], [tmp_path / "00-x.ko"])
    assert data == initramfs.pack(userland, ["ls", "cat"], [tmp_path / "00-x.ko"])
    listed = subprocess.run(["busybox", "cpio", "-tv"], input=data, capture_output=True, check=True).stdout.decode()
    rows = {line.split(maxsplit=5)[5].split(" -> ")[0]: line.split() for line in listed.splitlines()}
    assert rows["init"][0] == "-rwxr-xr-x"
    assert rows["init"][2] == "12"
    assert rows["dev/console"][0] == "crw-------"
    assert rows["bin/ls"][-1] == "busybox"
    assert rows["modules/00-x.ko"][2] == "6"
    assert rows["tmp"][0] == "drwxr-xr-x"


CHECK = Check(command="x", env=(("A", "1"),))
KERNEL = Kernel("path:x", "6.1", Path("/k/vmlinuz"), "1" * 64, (), "2" * 64)


PAYLOAD = Payload("4" * 64)


def key(check=CHECK, kernel=KERNEL, archive="3" * 64, tools="5" * 64, payload=PAYLOAD, machine=MACHINE):
    return jobs.key(jobs.key_parts(Job(check, Profile("a", "path:x"), "a"), kernel, archive, tools, payload, machine))


@pytest.mark.parametrize(
    "changed",
    [
        {"check": replace(CHECK, command="y")},
        {"check": replace(CHECK, env=(("A", "2"),))},
        {"check": replace(CHECK, expect=Expectation(1))},
        {"check": replace(CHECK, expect=Expectation(stdout="x"))},
        {"kernel": replace(KERNEL, image_sha256="5" * 64)},
        {"kernel": replace(KERNEL, modules_sha256="5" * 64)},
        {"archive": "6" * 64},
        {"tools": "6" * 64},
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


def line(body: bytes) -> bytes:
    return b"%s\t%08x\r\n" % (body, zlib.crc32(body))


def test_a_control_line_counts_only_whole():
    body = f"BPFCOMPAT\t{PROTOCOL}\tEND\tabc\t0\t1".encode()
    good = line(body)
    match = console._LINE.search(good)
    assert console.parse(*match.groups()) == console.Line("END", "abc", ("0", "1"))
    for at in range(len(good) - 2):
        damaged = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        match = console._LINE.search(damaged)
        assert match is None or console.parse(*match.groups()) is None, at


def test_a_line_of_another_protocol_is_not_understood():
    body = f"BPFCOMPAT\t{PROTOCOL}0\tEND\tabc\t0".encode()
    assert console.parse(body, b"%08x" % zlib.crc32(body)) is None


def test_the_newest_of_a_series_is_the_highest_number():
    names = [
        "linux-image-6.18.9+deb13-cloud-amd64",
        "linux-image-6.18.15+deb13-cloud-amd64",
        "linux-image-6.18.12+deb13-cloud-amd64",
    ]
    assert max(names, key=apt._by_version) == names[1]

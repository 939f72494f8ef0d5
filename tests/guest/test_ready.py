"""Commands that do not end by themselves: their signs, what runs meanwhile, and the signal."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat.model import Expectation, Ready
from bpfcompat.outcome import Classification, Status

from .conftest import KERNELS

WAITS = "while :; do sleep 100 & wait; done"
LOADER = f"trap 'echo bye; exit 0' INT TERM; echo attached; {WAITS}"
ATTACHED = Ready("stdout", "^attached$")
NOTIFIER = """
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
int main(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	signal(SIGINT, end);
	strcpy(address.sun_path, getenv("NOTIFY_SOCKET"));
	for (int i = 0; i < 1000; i++) /* more than the socket's queue holds */
		sendto(fd, "STATUS=READY=1 soon", 19, 0, (struct sockaddr *)&address, sizeof(address));
	write(1, "told\\n", 5);
	sendto(fd, "STATUS=up\\nREADY=1\\n", 18, 0, (struct sockaddr *)&address, sizeof(address));
	for (;;)
		pause();
}
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_loader_that_never_ends_passes(verdicts, kernel):
    (record,) = verdicts(LOADER, kernels=(kernel,), ready=ATTACHED)
    assert record.verdict.status is Status.PASS, record.verdict.reason
    assert record.outcome.stdout.tail == "attached\nbye"
    assert record.outcome.readiness.signalled


@pytest.mark.parametrize(
    ("ready", "command"),
    [
        (Ready("stderr", "^ready$"), "trap 'exit 0' INT; printf 'ready' >&2; " + WAITS),  # no line ends there, so its time runs out
        (Ready("stdout", r"port \d+"), "trap 'exit 0' INT; printf 'port 80'; " + WAITS),
        (Ready(file="run/deep/pid"), "trap 'exit 0' INT; sleep 1; mkdir -p run/deep; sleep 1; echo $$ > run/deep/pid; " + WAITS),
        (Ready(file="/sys/fs/bpf/mine/there"), "trap 'exit 0' INT; mkdir -p /sys/fs/bpf/mine/there; " + WAITS),
        (Ready(file="/run/moved"), "trap 'exit 0' INT; touch /run/x; mv /run/x /run/moved; " + WAITS),
        (Ready(file="/sys/class/net/d0"), "trap 'exit 0' INT; ip link add d0 type dummy; " + WAITS),
        (Ready("stdout", "up", signal="TERM"), "trap 'exit 0' TERM; echo up; " + WAITS),
    ],
    ids=["a line without an end", "part of a line", "a file in folders to come", "bpffs", "a file that is moved", "sysfs", "TERM"],
)  # fmt: skip
def test_every_kind_of_sign(verdicts, ready, command):
    (record,) = verdicts(command, ready=replace(ready, within=6.0))
    assert record.verdict.status is Status.PASS, record.verdict.reason


@pytest.mark.slow
def test_a_service_that_notifies(verdicts, tmp_path):
    (tmp_path / "service.c").write_text(NOTIFIER)
    subprocess.run(
        [*os.environ.get("CC", "cc").split(), "-static", "-o", "service", "service.c"], cwd=tmp_path, check=True
    )
    passes, silent = verdicts("exec ./service", "sleep 100", ready=Ready(within=5.0), files=(tmp_path / "service",))
    assert passes.verdict.status is Status.PASS, passes.verdict.reason
    assert passes.outcome.stdout.tail == "told"
    assert silent.verdict.classification is Classification.READY_NOT_SEEN


def test_a_command_runs_meanwhile_and_must_pass(verdicts):
    command = f"trap 'echo bye; exit 0' INT; echo secret > shared; echo attached; {WAITS}"
    ready = Ready("stdout", "attached", meanwhile="cat shared; echo to-stderr >&2")
    (passes,) = verdicts(command, ready=ready)
    assert passes.verdict.status is Status.PASS, passes.verdict.reason
    assert passes.outcome.stdout.tail == "attached\nsecret\nbye"
    assert passes.outcome.stderr.tail == "to-stderr"
    (fails,) = verdicts(command, ready=Ready("stdout", "attached", meanwhile="exit 3"))
    assert fails.verdict.classification is Classification.COMMAND_VALIDATION_FAILURE
    assert "`while_ready` exited 3" in fails.verdict.reason
    assert fails.verdict.exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "ready", "classification", "words", "stored"),
    [
        (f"trap 'exit 0' INT; {WAITS}", Ready("stdout", "never", within=2.0), "READY_NOT_SEEN", "was not seen within 2 s", False),
        ("echo no >&2; exit 1", ATTACHED, "ENDED_BEFORE_READY", "exited 1 before a match of /^attached$/ in stdout was seen", True),
        ("echo attached", Ready("stdout", "attached", meanwhile="sleep 100"), "ENDED_BEFORE_SIGNAL", "did not wait for SIGINT", False),
        (f"trap '' INT; echo attached; {WAITS}", ATTACHED, "IGNORED_SIGNAL", "got SIGINT, but did not end", False),
        (LOADER, Ready("stdout", "attached", meanwhile="sleep 100"), "COMMAND_TIMEOUT", "`while_ready` did not end", False),
        (f"trap 'exit 4' INT; echo attached; {WAITS}", ATTACHED, "COMMAND_VALIDATION_FAILURE", "exited 4 (expected 0, after SIGINT)", True),
    ],
)  # fmt: skip
def test_each_step_that_fails_has_its_own_sentence(verdicts, command, ready, classification, words, stored):
    (record,) = verdicts(command, ready=ready, timeout=3)
    assert record.verdict.status is Status.FAIL
    assert record.verdict.classification.value == classification, record.verdict.reason
    assert words in record.verdict.reason
    (again,) = verdicts(command, ready=ready, timeout=3)
    assert again.cached == stored


def test_a_signal_that_kills_can_be_expected(verdicts):
    (killed,) = verdicts("echo attached; exec sleep 100", ready=ATTACHED, expect=Expectation(130))
    assert (killed.verdict.status, killed.verdict.signal) == (Status.PASS, "SIGINT")


def test_what_is_there_before_is_no_sign(verdicts):
    (record,) = verdicts(LOADER, ready=Ready(file="/etc/passwd"))
    assert record.verdict.status is Status.INFRA_ERROR
    assert "is there before the command begins" in record.verdict.reason


def test_streams_stay_exact(verdicts, tmp_path):
    binary = bytes(range(256)) * 400
    (tmp_path / "blob").write_bytes(binary)
    command = f"trap 'cat blob; exit 0' INT; cat blob; echo attached; {WAITS}"
    (record,) = verdicts(
        command, ready=Ready("stdout", "attached$", meanwhile="cat blob >&2"), files=(tmp_path / "blob",)
    )
    folder = Path(tmp_path / ".bpfcompat" / record.evidence)
    assert record.verdict.status is Status.PASS, record.verdict.reason
    assert (folder / "stdout.log").read_bytes() == binary + b"attached\n" + binary
    assert (folder / "stderr.log").read_bytes() == binary


@pytest.mark.slow
def test_a_sign_behind_a_flood_is_no_verdict(verdicts):
    flood = f"trap 'exit 0' INT; head -c 300000 /dev/zero | tr '\\0' x; echo attached; {WAITS}"
    (record,) = verdicts(flood, ready=Ready("stdout", "attached", within=15.0))
    assert record.verdict.status is Status.INFRA_ERROR
    assert "what comes later is not looked at" in record.verdict.reason

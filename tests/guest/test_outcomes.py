"""How a command ends in a real guest, and what the tool makes of it."""

import os
import signal
import threading
import time
import zlib
from pathlib import Path

import pytest

from bpfcompat.guest import PROTOCOL
from bpfcompat.model import Expectation
from bpfcompat.outcome import Classification, OutcomeKind, Status
from bpfcompat.workflow.session import Options

from .conftest import KERNELS, machines_of

# command, exit code, signal
ENDINGS = [
    ("exit 0", 0, None),
    ("exit 7", 7, None),
    ("exit 256", 0, None),
    ("exit -1", 255, None),
    ("no-such-command", 127, None),
    ("/etc", 126, None),
    ("if then", 2, None),
    ("kill -9 $$", 137, "SIGKILL"),
    ("kill -PIPE $$", 141, "SIGPIPE"),
    ("read line; exit $?", 1, None),
    ("-x", 127, None),
    ("sleep 1000 & echo started", 0, None),
    ("trap 'exit 9' EXIT; true", 9, None),
    ("exec sh -c 'exit 5'", 5, None),
    ("cat <<X >/dev/null\n$HOME\nX\nexit 4", 4, None),
]

# command, class
DEATHS = [
    ("echo c > /proc/sysrq-trigger", Classification.KERNEL_PANIC),
    ("echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger", Classification.KERNEL_PANIC),
    ("reboot -f", Classification.GUEST_LOST),
    ("poweroff -f", Classification.GUEST_LOST),
]


def test_every_ending_is_told_as_it_was(verdicts):
    records = verdicts(*(command for command, _, _ in ENDINGS), kernels=(KERNELS[0],))
    found = [(record.verdict.exit_code, record.verdict.signal) for record in records]
    assert found == [(code, name) for _, code, name in ENDINGS]
    assert all((record.verdict.status is Status.PASS) == (record.verdict.exit_code == 0) for record in records)
    assert {record.outcome.kind for record in records} == {OutcomeKind.ENDED}


def test_the_same_on_every_kernel(verdicts):
    command = "uname -r; id -u; ulimit -l; pwd; echo $HOME:$TERM:$LANG; mount | grep -c ' type bpf '; ls /proc/self/fd | wc -l"
    records = verdicts(command, kernels=KERNELS)
    assert [record.verdict.status for record in records] == [Status.PASS] * 3
    lines = [record.outcome.stdout.tail.splitlines() for record in records]
    assert all(record.outcome.observed.release == said[0] for record, said in zip(records, lines, strict=True))
    assert len({said[0] for said in lines}) == 3
    assert {tuple(said[1:]) for said in lines} == {
        ("0", "unlimited", "/bpfcompat/work", "/root:dumb:C.UTF-8", "1", "4")
    }


def test_streams_are_exact_and_apart(verdicts, tmp_path):
    binary = bytes(range(256)) * 500
    (tmp_path / "blob").write_bytes(binary)
    command = "cat blob; cat blob blob >&2; for i in $(seq 300); do echo '<1>noise' >/dev/kmsg; done"
    (record,) = verdicts(command, files=(tmp_path / "blob",))
    folder = tmp_path / ".bpfcompat" / record.evidence
    assert (folder / "stdout.log").read_bytes() == binary
    assert (folder / "stderr.log").read_bytes() == binary * 2
    assert (record.outcome.stdout.total, record.outcome.stderr.total) == (len(binary), 2 * len(binary))
    assert not record.outcome.stdout.truncated


def test_a_flood_is_counted_and_bounded(verdicts, tmp_path):
    command = "echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last"
    (record,) = verdicts(command)
    assert record.verdict.status is Status.PASS
    assert record.outcome.stdout.total == 5000000 + len("first\n\nlast\n")
    assert record.outcome.stdout.truncated
    data = (tmp_path / ".bpfcompat" / record.evidence / "stdout.log").read_bytes()
    assert data.startswith(b"first\nxxx")
    assert data.endswith(b"xxx\nlast\n")
    assert b"bytes left out here" in data
    assert len(data) < 600_000


def test_a_pattern_over_a_truncated_stream_says_so(verdicts):
    (record,) = verdicts("yes | head -c 2000000", expect=Expectation(stdout="^y$", not_stdout="z"))
    assert record.verdict.status is Status.PASS
    assert "beginning and end only" in record.outcome.notes[0]


def test_names_arrive_exact_and_files_are_writable(verdicts, tmp_path):
    names = ["a b", "-n", "$(reboot)", "ä'\"", "new\nline"]
    (tmp_path / "data").mkdir()
    for name in names:
        (tmp_path / "data" / name).write_text(name)
    loader = tmp_path / "my loader$"
    loader.write_text("#!/bin/bash\necho loader ran\n")
    command = (
        '"$BPFCOMPAT_BIN" && cd data && for f in ./*; do test "$(cat "$f")" = "${f#./}" || exit 1; done'
        ' && echo changed > ./-n && ls | wc -l && test $BPFCOMPAT_REMOTE_ROOT = /bpfcompat/work && test -z "$BPFCOMPAT_ARTIFACT"'
    )
    (record,) = verdicts(command, files=(tmp_path / "data",), binary=loader)
    assert record.verdict.status is Status.PASS, record.outcome.stderr.tail


def test_a_long_command_and_its_environment(verdicts):
    command = "true " + "x" * 100_000 + '\ntest "$A" = "b c" && test "$B" = \'$(reboot)\''
    (record,) = verdicts(command, env=(("A", "b c"), ("B", "$(reboot)")))
    assert record.verdict.status is Status.PASS


@pytest.mark.parametrize(("command", "classification"), DEATHS)
def test_a_machine_that_dies_is_a_failure_confirmed_and_not_a_matter_of_waiting(
    verdicts, tmp_path, command, classification
):
    options = Options(total_seconds=3600)
    (record,) = verdicts(command, options=options, timeout=3000.0)
    assert record.verdict.status is Status.FAIL
    assert record.verdict.classification is classification
    assert "a second run ended in the same way" in record.outcome.notes
    folder = tmp_path / ".bpfcompat" / record.evidence
    assert (b"Kernel panic" in (folder / "console.log").read_bytes()) == (classification is Classification.KERNEL_PANIC)


def test_a_hang_is_a_failure_with_the_blocked_tasks_in_the_log_and_is_not_stored(verdicts, tmp_path):
    records = [verdicts("trap '' TERM INT; echo waiting; sleep 1000", timeout=1.0)[0] for _ in range(2)]
    for record in records:
        assert record.verdict.classification is Classification.COMMAND_TIMEOUT
        assert record.verdict.timed_out
        assert not record.cached
        assert record.outcome.stdout.tail == "waiting"
    console = (tmp_path / ".bpfcompat" / records[1].evidence / "console.log").read_text(errors="replace")
    assert "sysrq: " in console


def test_printing_a_panic_does_not_make_one(verdicts):
    (record,) = verdicts("echo '<0>Kernel panic - not syncing: not really' > /dev/kmsg; sleep 3; exit 3")
    assert (record.outcome.kind, record.verdict.exit_code) == (OutcomeKind.ENDED, 3)


def test_an_answer_that_comes_at_once_is_an_answer(verdicts, monkeypatch):
    """On a busy host the guest can be faster than we are: its answer must not come before there is a clock to stop."""
    real = threading.Timer

    def late(seconds, action):
        time.sleep(0.5)
        return real(seconds, action)

    monkeypatch.setattr(threading, "Timer", late)
    (record,) = verdicts("echo 'Kernel panic - not syncing' > /dev/kmsg; sleep 3; exit 3")
    assert record.verdict.exit_code == 3, record.outcome.reason
    assert record.outcome.kind is OutcomeKind.ENDED


def forged_end():
    """An END in which everything is right but the run's nonce, as text for printf."""
    body = f"BPFCOMPAT\t{PROTOCOL}\tEND\t{'0' * 32}\t0\t1\t0\t0\t0\t0\t0\t0\t0\t1"
    return repr(f"{body}\t{zlib.crc32(body.encode()):08x}\n")[1:-1]


@pytest.mark.parametrize(
    "forgery",
    [
        f"for p in 0 1 2 3; do printf '{forged_end()}' > /dev/ttyS$p; done; printf '{forged_end()}'; printf '{forged_end()}' >&2",
        f"printf '{forged_end()}' > /dev/kmsg",
        "cat /dev/urandom | head -c 300000 > /dev/ttyS1",
        "stty -F /dev/ttyS1 raw echo 2>/dev/null; exec 5<>/dev/ttyS1 6<>/dev/ttyS2; echo noise >&5",
        "rm -f /dev/ttyS1 /dev/ttyS2",
    ],
)
def test_a_failure_cannot_be_forged_into_a_pass(verdicts, forgery):
    (record,) = verdicts(f"{forgery}; exit 42")
    assert record.verdict.status is not Status.PASS
    assert record.verdict.exit_code in (42, None)


def test_two_guests_share_no_random_numbers_and_know_the_time(verdicts):
    import time

    first, second = verdicts(
        "head -c 16 /dev/urandom | md5sum; date +%s", "head -c 16 /dev/urandom | md5sum; date +%s; true"
    )
    lines = [record.outcome.stdout.tail.splitlines() for record in (first, second)]
    assert lines[0][0] != lines[1][0]
    assert abs(int(lines[0][1]) - time.time()) < 120


def test_the_evidence_names_the_machine(verdicts, tmp_path):
    (record,) = verdicts("true")
    assert "qemu-system-x86_64" in record.qemu_command
    assert record.kernel["source"] == "apt:bookworm/linux-image-cloud-amd64"
    assert Path(tmp_path / ".bpfcompat" / record.evidence / "console.log").exists()


def test_a_qemu_that_is_killed_from_outside_is_no_verdict(verdicts, tmp_path):
    """Whoever kills QEMU (the kernel when memory runs out, a person) says nothing about the guest's kernel."""

    def kill():
        while not list((tmp_path / ".bpfcompat").glob("evidence/*/*/stdout.log")):
            pass
        log = next((tmp_path / ".bpfcompat").glob("evidence/*/*/stdout.log"))
        while b"running" not in log.read_bytes():
            pass
        os.kill(machines_of(tmp_path)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    (record,) = verdicts("echo running; sleep 300")
    killer.join()
    assert record.verdict.status is Status.INFRA_ERROR
    assert record.verdict.classification is Classification.HOST_FAILURE


def test_the_limit_of_the_whole_job_says_nothing_about_the_command(verdicts):
    (record,) = verdicts("sleep 300", options=Options(total_seconds=5))
    assert record.verdict.status is Status.INFRA_ERROR
    assert "raise --timeout" in record.verdict.reason


def test_a_boot_that_takes_too_long_is_tried_again_and_then_no_verdict(verdicts):
    (record,) = verdicts("true", options=Options(boot_seconds=0.2, cold=True))
    assert record.verdict.classification is Classification.BOOT_FAILURE
    assert any("the first boot failed" in note for note in record.outcome.notes)

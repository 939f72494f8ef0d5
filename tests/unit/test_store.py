"""What is kept on disk: whole or not at all, and never trusted when it is not ours."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import payload
from bpfcompat.model import Check, Observed, Outcome, OutcomeKind, Record, Status, Stream, Verdict
from bpfcompat.records import VerdictStore, scratch
from bpfcompat.system import atomic, processes

KEY = "ab" * 32
OUTCOME = Outcome(
    OutcomeKind.ENDED,
    observed=Observed("6.1", "x86_64", "#1"),
    wait_status=256,
    command_seconds=0.5,
    stdout=Stream(3, 3, "out"),
    notes=("n",),
)
RECORD = Record("a", KEY, {"command": "x"}, Verdict(Status.FAIL, exit_code=1), OUTCOME, "t0", "t1", 1.5, "run-1")


@pytest.fixture
def store(tmp_path):
    store = VerdictStore(tmp_path / ".bpfcompat")
    store.prepare()
    return store


def test_a_record_comes_back_as_it_was(store):
    store.evidence(KEY, "run-1")
    store.put(RECORD)
    assert store.get(KEY) == RECORD


def test_only_the_evidence_of_the_stored_run_is_kept(store):
    old, new = store.evidence(KEY, "run-0"), store.evidence(KEY, "run-1")
    store.put(RECORD)
    assert new.is_dir()
    assert not old.exists()
    store.forget(KEY)
    assert store.get(KEY) is None
    assert not new.exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"key": "x"}', b"\xff\xfe"])
def test_a_torn_or_foreign_file_is_no_verdict(store, damage):
    store.evidence(KEY, "run-1")
    store.put(RECORD)
    store.path(KEY).write_bytes(damage)
    assert store.get(KEY) is None


def test_a_record_under_another_key_is_no_verdict(store):
    store.evidence(KEY, "run-1")
    store.put(RECORD)
    other = "cd" * 32
    store.path(other).parent.mkdir()
    store.path(KEY).rename(store.path(other))
    assert store.get(other) is None


def test_a_work_directory_of_another_format_is_left_alone(store):
    (store.workdir / "format").write_text("99\n")
    with pytest.raises(BpfcompatError, match="has format 99"):
        store.prepare()


def test_temporary_files_of_a_killed_run_are_dropped_and_those_of_a_living_one_are_not(store):
    dead = store.workdir / "tmp" / "dead"
    dead.mkdir(parents=True)
    (dead.parent / "killed-before-its-folder-was-there.lock").touch()
    with scratch(store.workdir, "living") as living, scratch(store.workdir, "another"):
        assert not dead.exists()
        assert living.is_dir()
    assert list((store.workdir / "tmp").iterdir()) == []


def test_what_is_to_be_kept_survives_the_next_run(store):
    with scratch(store.workdir, "first", keep=True) as kept:
        (kept / "disk").touch()
    with scratch(store.workdir, "second"):
        pass
    assert (kept / "disk").exists()
    assert {path.name for path in kept.parent.iterdir()} == {"first"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file"
    atomic.write(target, b"old")
    with pytest.raises(TypeError):
        atomic.write_json(target, object())
    with pytest.raises(TypeError):
        atomic.write(target, "text")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def _count(folder):
    for _ in range(20):
        with atomic.locked(folder / "lock"):
            path = folder / "counter"
            path.write_text(str(int(path.read_text()) + 1))


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count, args=(tmp_path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "counter").read_text() == "80"
    assert not (tmp_path / "lock").exists()


def test_a_child_dies_with_its_parent(tmp_path):
    """kill -9 of the tool leaves no child."""
    import subprocess
    import sys

    code = (
        "from bpfcompat.system import processes; import sys, time\n"
        "child = processes.start(['sleep', '1000']); print(child.pid, flush=True); time.sleep(1000)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    while Path(f"/proc/{pid}/comm").read_text().strip() != "sleep":
        pass  # setpriv has not yet become sleep; before that it has not yet asked to die with its parent
    watch = os.pidfd_open(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    import select

    poll = select.poll()
    poll.register(watch, select.POLLIN)
    assert poll.poll(10_000), "the child outlived its parent"
    os.close(watch)


def test_a_missing_program_is_a_sentence():
    with pytest.raises(BpfcompatError):
        processes.check(["/no/such/program"], doing="testing")


def test_a_payload_is_known_by_what_is_in_it(tmp_path):
    loader = tmp_path / "loader"
    loader.write_bytes(b"one")
    check = Check(command="x", binary=loader, root=tmp_path)
    first = payload.measure(check)
    assert first.binary
    assert first.binary.path == "/bpfcompat/payload/bin/loader"
    os.utime(loader, (1, 1))
    assert payload.measure(check) == first
    loader.write_bytes(b"two")
    assert payload.measure(check).digest != first.digest


@pytest.mark.parametrize("change", ["mode", "name", "link", "folder"])
def test_names_modes_and_links_of_files_count(tmp_path, change):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("x")
    (tmp_path / "data" / "l").symlink_to("a")
    check = Check(command="x", files=(tmp_path / "data",), root=tmp_path)
    before = payload.measure(check).digest
    if change == "mode":
        (tmp_path / "data" / "a").chmod(0o755)
    elif change == "name":
        (tmp_path / "data" / "a").rename(tmp_path / "data" / "b")
    elif change == "link":
        (tmp_path / "data" / "l").unlink()
        (tmp_path / "data" / "l").symlink_to("b")
    else:
        (tmp_path / "data" / "empty").mkdir()
    assert payload.measure(check).digest != before


def test_inputs_that_cannot_be_used(tmp_path):
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    outside = tmp_path.parent / "outside"
    outside.write_text("x")
    for check, words in (
        (Check(command="x", binary=tmp_path / "none"), "does not exist"),
        (Check(command="x", binary=tmp_path / "dir"), "is a folder"),
        (Check(command="x", binary=tmp_path / "fifo"), "not a regular file"),
        (Check(command="x", artifact=tmp_path / "none"), "artifact: "),
        (Check(command="x", files=(tmp_path / "none",), root=tmp_path), "does not exist"),
        (Check(command="x", files=(tmp_path / ".." / "outside",), root=tmp_path), "is not below"),
        (Check(command="x", files=(tmp_path / "fifo",), root=tmp_path), "neither a file"),
    ):
        with pytest.raises(BpfcompatError, match=words):
            payload.measure(check)


def test_a_report_of_stored_json_is_utf8(tmp_path):
    atomic.write_json(tmp_path / "x.json", {"a": "ä\udcff"})
    assert json.loads((tmp_path / "x.json").read_bytes())["a"].startswith("ä")


def test_a_full_disk_stalls_no_guest_and_is_told(tmp_path):
    import socket

    from bpfcompat.vm.console import Streams

    (tmp_path / "stdout.log").symlink_to("/dev/full")
    pairs = {name: socket.socketpair() for name in ("console", "stdout", "stderr")}
    streams = Streams({name: pair[0] for name, pair in pairs.items()}, tmp_path, lambda: None)
    for _ in range(50):
        pairs["stdout"][1].sendall(b"x" * 65536)  # would block for ever if nobody read
    assert streams.wait_for(50 * 65536, 0, 10)
    for pair in pairs.values():
        pair[1].close()
    streams.join()
    for pair in pairs.values():
        pair[0].close()
    assert "stdout.log cannot be written: No space left on device" in (streams.failure or "")


def test_a_port_that_is_flooded_keeps_its_beginning_and_its_end(tmp_path):
    import socket

    from bpfcompat.vm.console import Streams

    pairs = {name: socket.socketpair() for name in ("console", "stdout", "stderr")}
    streams = Streams({name: pair[0] for name, pair in pairs.items()}, tmp_path, lambda: None)
    pairs["stdout"][1].sendall(b"first" + b"x" * (3 << 20) + b"last")
    for pair in pairs.values():
        pair[1].close()
    streams.join()
    for pair in pairs.values():
        pair[0].close()
    data = (tmp_path / "stdout.log").read_bytes()
    kept = (1 << 20) + (1 << 17)
    gap = b"\n[bpfcompat: %d bytes left out here]\n" % ((3 << 20) + 9 - kept)
    assert data.startswith(b"firstxxx")
    assert data.endswith(b"xxxlast")
    assert data[1 << 20 :].startswith(gap)
    assert len(data) == kept + len(gap)
    assert streams.failure is None


def test_kernels_that_were_not_booted_for_long_are_pruned(tmp_path, monkeypatch, capsys):
    from bpfcompat.cli import main

    monkeypatch.setenv("BPFCOMPAT_CACHE", str(tmp_path))
    for name, days in (("a" * 64, 40), ("b" * 64, 2)):
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text("{}")
        os.utime(folder / "kernel.json", (time.time() - days * 86400,) * 2)
    assert main(["cache", "prune", "--unused", "30"]) == 0
    assert "dropped 1 kernels" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == ["b" * 64]
    assert main(["cache", "prune", "--unused", "0"]) == 1

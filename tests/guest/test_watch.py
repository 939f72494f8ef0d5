"""`bpfcompat watch` with a real loader that is rebuilt, and with a project file that is half written for a moment."""

import json
import signal
import subprocess
import sys
import time

import pytest

from .conftest import machines_of
from .watching import Watch

PROJECT = """\
command: $BPFCOMPAT_BIN
binary: loader
matrix: [{id: common, kernel: 'apt:bookworm/linux-image-cloud-amd64'}]
"""


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "bpfcompat.yaml").write_text(PROJECT)
    build(tmp_path, 0)
    started = Watch(tmp_path)
    with started.process:
        yield started
        started.process.kill()


def build(folder, code):
    """Write the loader as a build does: another file that takes the name."""
    fresh = folder / "loader.new"
    fresh.write_text(f"#!/bin/bash\nexit {code}\n")
    fresh.chmod(0o755)
    fresh.replace(folder / "loader")


def disk_of_waiting(folder):
    """Return the payload's disk of a machine that waits for its job, once there is one."""
    while not (waiting := list((folder / ".bpfcompat" / "tmp").glob("standby.*/*/payload.disk"))):
        time.sleep(0.01)
    return str(waiting[0])


def test_a_loader_that_is_built_anew_runs_again(watch, tmp_path):
    watch.next(r"^1 passed")
    waiting = disk_of_waiting(tmp_path)
    build(tmp_path, 3)
    assert " fail " in watch.next(r"^common ")
    watch.next(r"^1 failed \(1 run, 0 cached\)")
    (tmp_path / "bpfcompat.yaml").write_text("command: [half\n")
    watch.next(r"bpfcompat.yaml:")
    (tmp_path / "bpfcompat.yaml").write_text(PROJECT)
    watch.next(r"^1 failed \(nothing booted")
    (row,) = json.loads((tmp_path / ".bpfcompat" / "report.json").read_text())["targets"]
    assert waiting in row["qemu_command"]
    (tmp_path / "loader").unlink()
    watch.next(r"loader does not exist")
    build(tmp_path, 0)
    watch.next(r"^1 passed")
    watch.process.send_signal(signal.SIGINT)
    assert watch.process.wait(60) == 130
    assert not machines_of(tmp_path)
    assert not list((tmp_path / ".bpfcompat" / "tmp").iterdir())


def test_what_is_wrong_from_the_start_ends_it(tmp_path):
    line = [sys.executable, "-m", "bpfcompat", "watch"]
    ended = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert (ended.returncode, "there is no bpfcompat.yaml" in ended.stderr) == (1, True)

"""Folders for temporary files: of the living, of the killed, and those to be kept."""

import subprocess
import sys

from bpfcompat.system import scratch

WAITS = """
import pathlib, sys
from bpfcompat.system import scratch
with scratch.folder(pathlib.Path(sys.argv[1]), scratch.unique("kernel")) as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_temporary_files_of_a_killed_run_are_dropped_and_those_of_a_living_one_are_not(tmp_path):
    dead = tmp_path / "tmp" / "dead"
    dead.mkdir(parents=True)
    (dead.parent / "killed-before-its-folder-was-there.lock").touch()
    with scratch.folder(tmp_path / "tmp", "living") as living, scratch.folder(tmp_path / "tmp", "another"):
        assert not dead.exists()
        assert living.is_dir()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_process_that_is_killed_leaves_its_folder_to_the_next(tmp_path):
    waiting = [sys.executable, "-c", WAITS, tmp_path]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        left = process.stdout.readline().strip()
        with scratch.folder(tmp_path, scratch.unique("kernel")):
            assert left in {str(path) for path in tmp_path.iterdir()}
        process.kill()
    with scratch.folder(tmp_path, scratch.unique("kernel")) as own:
        assert {path.name for path in tmp_path.iterdir()} == {own.name, f"{own.name}.lock"}


def test_what_is_to_be_kept_survives_the_next_run(tmp_path):
    with scratch.folder(tmp_path / "tmp", "first", keep=True) as kept:
        (kept / "disk").touch()
    with scratch.folder(tmp_path / "tmp", "second"):
        pass
    assert (kept / "disk").exists()
    assert {path.name for path in kept.parent.iterdir()} == {"first"}

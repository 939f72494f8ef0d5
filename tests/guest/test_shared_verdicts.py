"""One machine finds it out, another has it: a verdict store that both share."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def machine(tmp_path):
    def run(name, *words, command="uname -r"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "bpfcompat.yaml").write_text(
            f"command: {command}\nmatrix: [{{id: a, kernel: 'apt:bookworm/linux-image-cloud-amd64'}}]\nstore: {tmp_path / 'place'}\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "bpfcompat", "run", *words], cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        return done, json.loads((folder / ".bpfcompat" / "report.json").read_text())["targets"][0]

    return run


def test_the_second_machine_boots_nothing_and_says_whose_it_is(machine, tmp_path):
    first, ours = machine("one")
    second, theirs = machine("two")
    assert first.returncode == second.returncode == 0
    assert "nothing booted" in second.stdout
    assert theirs["cached"]
    assert theirs["imported_from"]
    assert theirs["key"] == ours["key"]
    assert Path(theirs["stdout_log"]).read_text() == Path(ours["stdout_log"]).read_text() != ""


def test_force_runs_here_and_the_same_verdict_is_no_disagreement(machine, tmp_path):
    machine("one")
    second, row = machine("two", "--force")
    assert not row["cached"]
    assert "DISAGREEMENT" not in second.stdout + second.stderr


def test_another_verdict_of_the_same_inputs_is_told(machine, tmp_path):
    """A command that fails by chance: here by what the first machine's object is made to be named."""
    machine("one", command="'echo x; exit 3'")
    (failed,) = (tmp_path / "place").rglob("fail.tar.gz")
    _, row = machine("two", command="'echo x; exit 3'")
    assert row["status"] == "fail"
    assert row["imported_from"]
    shutil.copy(failed, failed.with_name("pass.tar.gz"))
    third, row = machine("three", command="'echo x; exit 3'")
    assert row["status"] == "fail"
    assert not row["cached"]
    assert "holds both a pass and a fail" in third.stderr
    assert any("DISAGREEMENT" in note for note in row["notes"])
    assert "DISAGREEMENT" in third.stdout


def test_offline_asks_nobody(machine, tmp_path):
    machine("one")
    _second, row = machine("two", "--offline")
    assert not row["cached"]
    assert len(list((tmp_path / "place").rglob("*.tar.gz"))) == 1

"""The doctor: a line each, a command for what is lacking, and an exit code."""

import json

import pytest

from bpfcompat.cli import main
from bpfcompat.system import host


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host.program.cache_clear()
    yield
    host.program.cache_clear()


def test_a_machine_that_has_all(capsys):
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "a project can run here" in shown
    assert "lacking" not in shown


def test_what_is_lacking_comes_with_its_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    lines = {row["what"]: row for row in found["findings"]}
    assert (lines["QEMU"]["health"], lines["QEMU"]["hint"]) == ("lacking", "apt-get install qemu-system-x86")
    assert lines["skopeo"]["health"] == "note"


def test_the_kernels_of_the_project_here(capsys, tmp_path):
    (tmp_path / "bpfcompat.yaml").write_text("command: x\nmatrix: [{id: mine, kernel: path:vmlinuz}]\n")
    assert main(["doctor"]) == 1
    assert "lacking kernel mine there is no " in " ".join(capsys.readouterr().out.split())
    (tmp_path / "bpfcompat.yaml.lock").write_text("{")
    assert main(["doctor"]) == 1
    assert "lock file" in capsys.readouterr().out

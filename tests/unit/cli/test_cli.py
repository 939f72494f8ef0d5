"""The command line: every misuse is one sentence and exit code 1, before anything starts."""

import pytest

from bpfcompat import cli


def _no_machine(*arguments, **options):
    raise AssertionError("a machine was started")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bpfcompat.workflow.runner.run", _no_machine)
    (tmp_path / "m.yaml").write_text("profiles: [{id: a, kernel: 'path:vmlinuz'}]\n")
    (tmp_path / "loader").write_text("#!/bin/sh\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["test-command"], "nothing to run"),
        (["test-command", "--cmd", "   ", "--quick"], "nothing to run"),
        (["test-command", "--bin", "loader", "--matrix", "m.yaml"], "--bin has no meaning without --cmd"),
        (["test-command", "--expect-exit", "3", "--quick"], "--expect-exit has no meaning"),
        (["test", "--command-binary", "loader", "--quick"], "--command-binary has no meaning without --command"),
        (["test", "--manifest", "m.yaml", "--quick"], "nothing to run"),
        (["test", "--command", "x", "--validation-mode", "load_only", "--quick"], "have no meaning with --command"),
        (["test", "--artifact", "loader", "--validation-mode", "best", "--quick"], "invalid choice"),
        (["test", "--artifact", "loader", "--validation-mode", "behavior", "--quick"], "there are none"),
        (["test", "--artifact", "loader", "--manifest", "m.yaml", "--quick"], "m.yaml:1: unknown key 'profiles'"),
        (["test", "--artifact", "none.bpf.o", "--quick"], "none.bpf.o does not exist"),
        (["test-command", "--cmd", "x"], "no matrix"),
        (["test-command", "--cmd", "x", "--quick", "--matrix", "m.yaml"], "not allowed with"),
        (["test-command", "--cmd", "x", "--matrix", "none.yaml"], "there is no matrix 'none.yaml'"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--expect-exit", "256"], "is not an exit code"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--expect-exit", "-1"], "is not an exit code"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--expect-exit", "one"], "invalid int value"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--timeout", "0"], "--timeout 0 is not a time limit"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--command-timeout", "soon"], "is not a time limit"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--jobs", "0"], "--jobs 0"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--out", "/proc/report.json"], "cannot be written"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--out", "nowhere/report.json"], "mkdir -p"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--file", "none"], "none does not exist"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--file", "../m.yaml"], "is not below"),
        (
            ["test-command", "--cmd", "x", "--matrix", "m.yaml", "--file", "m.yaml=/proc/x"],
            "nothing can be copied to /proc/x",
        ),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--env", "MODE"], "write NAME=VALUE"),
        (
            ["test-command", "--cmd", "x", "--matrix", "m.yaml", "--env", "BPFCOMPAT_BIN=x"],
            "is set by bpfcompat itself",
        ),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--tool", "no-such-tool"], "no-such-tool"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--rootfs", "no-such-root"], "no-such-root"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--runner", "firecracker"], "--runner firecracker"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--runner", "virtme-ng"], "--runner virtme-ng"),
        (
            ["test-command", "--cmd", "x", "--matrix", "m.yaml", "--junit", "no/x.xml"],
            "--junit no/x.xml cannot be written",
        ),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--profile", "nope*"], "no profile matches"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--bin", "none"], "does not exist"),
        (["test-command", "--cmd", "x", "--matrix", "m.yaml", "--bin", "."], "is a folder"),
        (["test-command", "--cmdd", "x", "--matrix", "m.yaml"], "--cmdd"),
        (["run"], "there is no bpfcompat.yaml"),
        (["nonsense"], "nonsense"),
        ([], "required"),
    ],
)
def test_misuse(arguments, words, capsys):
    assert cli.main(arguments) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""
    assert "Traceback" not in said.err


def test_what_is_no_object_is_refused_before_anything_is_fetched_or_booted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bpfcompat.kernels.fetch", _no_machine)
    assert cli.main(["test", "--artifact", "loader", "--quick"]) == 1
    said = capsys.readouterr()
    assert "LOADER_NOT_RUNNABLE" in said.out
    assert f"{tmp_path}/loader can be loaded into no kernel: it is not an ELF file." in said.out


def test_init_writes_what_runs_and_replaces_nothing(tmp_path, capsys):
    from bpfcompat.project.config import load_project

    assert cli.main(["init"]) == 0
    assert load_project(tmp_path).matrix.name == "quick"
    assert "task_bpfcompat" in (tmp_path / "dodo.py").read_text()
    (tmp_path / "bpfcompat.yaml").write_text("mine")
    assert cli.main(["init"]) == 1
    assert (tmp_path / "bpfcompat.yaml").read_text() == "mine"
    assert "exists already" in capsys.readouterr().err


def test_the_example_is_valid():
    from pathlib import Path

    from bpfcompat.project import document, schema

    example = Path(__file__).parents[3] / "bpfcompat.yaml.example"
    schema.check(document.read(example), "project")


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("bpfcompat 0.")

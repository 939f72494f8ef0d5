"""From a run to answers: reports, logs, explanations, history, and verdicts that travel."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from lxml import etree

from bpfcompat.cli import main
from bpfcompat.project import schema
from bpfcompat.vm import console

KERNELS = {
    "old": "apt:bullseye/linux-image-cloud-amd64",
    "new": "apt:bookworm/linux-image-cloud-amd64",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of two checks on two kernels; what `load` does stands in a script."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loader.sh").write_text("#!/bin/bash\necho loaded; exit 0\n")
    (tmp_path / "loader.sh").chmod(0o755)
    write(
        checks=[
            {"name": "load", "command": "$BPFCOMPAT_BIN", "binary": "loader.sh"},
            {
                "name": "fail",
                "command": "printf 'no\\0newline' >&2; echo 'Lockdown: x: y is restricted' >/dev/kmsg; exit 7",
            },
        ],
        matrix=[{"id": name, "kernel": kernel} for name, kernel in KERNELS.items()],
    )
    return tmp_path


def write(**value):
    Path("bpfcompat.yaml").write_text(yaml.safe_dump(value))


def said(capsys, *arguments, code=0):
    assert main([*arguments]) == code, capsys.readouterr().err
    return capsys.readouterr().out


def test_one_run_yields_all_outputs_and_answers(project, capsysbinary):
    outputs = ["--markdown", "r.md", "--junit", "r.xml", "--html", "r.html", "--out", "r.json"]
    assert main(["run", *outputs]) == 2
    printed = capsysbinary.readouterr().out.decode()
    report = json.loads((project / "r.json").read_text())
    assert schema.problems(report, "report") == []
    sentence = "2 passed, 2 failed (4 run, 0 cached)"
    assert sentence in printed
    assert sentence in (project / "r.md").read_text()
    assert sentence in (project / "r.html").read_text()
    suites = etree.parse(project / "r.xml")
    etree.XMLSchema(etree.parse(schema.FOLDER / "junit.xsd")).assertValid(suites)
    assert suites.getroot().get("failures") == "2"
    assert set(report["paths"]) == {"json", "markdown", "junit", "html", "run_dir"}
    failed = next(row for row in report["targets"] if row["status"] == "fail")
    assert "is restricted" in failed["kernel_log_tail"]
    assert failed["hints"]
    assert "Lockdown: x: y is restricted" in (project / "r.html").read_text()

    assert main(["logs", "new/fail", "--stderr"]) == 0
    assert capsysbinary.readouterr().out == b"no\0newline"
    assert main(["logs", "new"]) == 0
    shown = capsysbinary.readouterr().out
    assert b"==> new/load stdout\nloaded\n" in shown
    assert b"==> new/fail console\n" in shown
    assert main(["logs", "new/fial"]) == 1
    assert b"did you mean" in capsysbinary.readouterr().err

    for name in ("markdown", "junit", "html", "json", "table"):
        assert main(["report", "--from", "r.json", "--format", name, "--out", f"again.{name}"]) == 0
    for name, file in (("markdown", "r.md"), ("junit", "r.xml"), ("html", "r.html"), ("json", "r.json")):
        assert (project / f"again.{name}").read_bytes() == (project / file).read_bytes(), name


def test_flags_bring_what_a_project_file_brings(project, capsys):
    Path("m.yaml").write_text(yaml.safe_dump({"profiles": [{"id": "new", "kernel": KERNELS["new"]}]}))
    Path("data").mkdir()
    Path("data/x").write_text("of-data")
    command = 'test "$(cat data/x)$(cat /opt/y)$MODE$EMPTY" = "of-dataof-dataa=b" && command -v strace'
    brings = [
        "--file",
        "data",
        "--file",
        "data/x=/opt/y",
        "--env",
        "MODE=a=b",
        "--env",
        "EMPTY=",
        "--tool",
        "./loader.sh",
    ]
    command = command.replace("strace", "loader.sh")
    assert "1 passed" in said(capsys, "test-command", "--cmd", command, "--matrix", "m.yaml", *brings)


def test_project_files_of_one_folder_are_kept_apart(project, capsys):
    said(capsys, "run", "--profile", "new", code=2)
    kept = (project / ".bpfcompat" / "report.json").read_bytes()
    other = {"command": "echo of-other; exit 3", "matrix": [{"id": "new", "kernel": KERNELS["new"]}]}
    Path("other.yaml").write_text(yaml.safe_dump(other))
    assert ".bpfcompat/other.yaml/report.json" in said(capsys, "run", "other.yaml", code=2)
    assert (project / ".bpfcompat" / "report.json").read_bytes() == kept
    assert said(capsys, "logs", "new", "--stdout", "--workdir", ".bpfcompat/other.yaml") == "of-other\n"
    assert "of-other" not in said(capsys, "logs", "new", "--stdout")
    assert len(json.loads(said(capsys, "history", "list", "--json"))) == 1
    assert "would not run" in said(capsys, "explain", "--project", "other.yaml")


def test_explain_names_what_changed(project, capsys):
    assert "would run: nothing is known about it" in said(capsys, "explain", "old/load")
    said(capsys, "run", code=2)
    assert said(capsys, "explain", "new/load") == "new/load would not run: pass is stored for exactly these inputs\n"
    (project / "loader.sh").write_text("#!/bin/bash\nexit 3\n")
    explained = said(capsys, "explain")
    assert "old/fail would not run" in explained
    assert "old/load would run: its inputs have changed\n  binary loader.sh: " in explained
    said(capsys, "run", code=2)
    assert (
        "would not run: fail is stored for exactly these inputs; those before differed in\n  binary loader.sh"
        in said(capsys, "explain", "new/load")
    )
    value = yaml.safe_load((project / "bpfcompat.yaml").read_text())
    value["checks"][0] |= {"command": "sleep 9", "timeout": "1s", "env": {"MODE": "ci"}}
    write(**value)
    assert "command: $BPFCOMPAT_BIN -> sleep 9" in said(capsys, "explain", "new/load")
    said(capsys, "run", "--profile", "new", code=2)
    assert "would run: COMMAND_TIMEOUT is never stored" in said(capsys, "explain", "new/load")


def test_the_last_record_is_that_of_the_inputs_even_if_it_is_cached(project, capsys):
    said(capsys, "run", "--profile", "new", code=2)
    works = (project / "loader.sh").read_text()
    (project / "loader.sh").write_text("#!/bin/bash\necho broken; exit 3\n")
    said(capsys, "run", "--profile", "new", code=2)
    assert said(capsys, "logs", "new/load", "--stdout") == "broken\n"
    (project / "loader.sh").write_text(works)
    said(capsys, "run", "--profile", "new", code=2)
    assert said(capsys, "logs", "new/load", "--stdout") == "loaded\n"
    assert "nothing booted" in said(capsys, "run", "--profile", "new", code=2)


def test_a_regression_is_found_by_compare_and_history(project, capsys):
    said(capsys, "run", "--out", "before.json", code=2)
    (project / "loader.sh").write_text("#!/bin/bash\ngrep -q ' 6' /proc/version\n")
    said(capsys, "run", "--out", "after.json", code=2)
    reports = ["--base-report", "before.json", "--head-report", "after.json"]
    assert "regressed" in said(capsys, "compare", *reports, "--fail-on-regression", code=2)
    assert said(capsys, "compare", *reports)
    compared = json.loads(said(capsys, "compare", *reports, "--json"))
    assert [(row["name"], row["change"]) for row in compared["changes"]] == [
        ("old/load", "regressed"), ("old/fail", "unchanged"), ("new/load", "unchanged"), ("new/fail", "unchanged"),
    ]  # fmt: skip
    runs = json.loads(said(capsys, "history", "list", "--json"))
    assert len(runs) == 2
    (project / "before.json").unlink()
    versions = ["--base-version", runs[0]["run_id"], "--head-version", runs[1]["run_id"]]
    assert json.loads(said(capsys, "compare", *versions, "--json")) == compared
    assert said(capsys, "history", "trend").splitlines()[0] == "old/load  .F"


def test_parallel_runs_leave_a_history_that_verifies(project, capsys):
    command = [sys.executable, "-m", "bpfcompat", "run"]
    runs = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [run.wait() for run in runs] == [2, 2, 2]
    assert said(capsys, "history", "verify") == "3 runs, no problems\n"
    log = project / ".bpfcompat" / "registry" / "runs.jsonl"
    log.write_bytes(log.read_bytes().replace(b"fail", b"fAil", 1))
    assert "line 1 is not what was written." in said(capsys, "history", "verify", code=1)


def test_verdicts_travel_and_can_be_refused(project, capsys):
    said(capsys, "run", code=2)
    assert "exported 4 verdicts" in said(capsys, "cache", "export", "v.tar.gz")
    assert "imported 4 verdicts of " in said(capsys, "cache", "import", "v.tar.gz", "--workdir", "elsewhere")
    printed = said(capsys, "run", "--workdir", "elsewhere", code=2)
    assert "nothing booted" in printed
    report = json.loads((project / "elsewhere" / "report.json").read_text())
    assert all(row["imported_from"] for row in report["targets"])
    value = yaml.safe_load((project / "bpfcompat.yaml").read_text())
    write(**value, trust_imported=False)
    assert "is not trusted here" in said(capsys, "explain", "new/load", "--workdir", "elsewhere")
    assert "(4 run, 0 cached)" in said(capsys, "run", "--workdir", "elsewhere", code=2)
    assert "(nothing booted" in said(capsys, "run", "--workdir", "elsewhere", code=2), "now they are its own"


def test_what_the_kernel_says_is_kept_however_late_we_read_that_the_command_began(verdicts, monkeypatch):
    next_line = console.Control.next_line

    def late(self, deadline):
        line = next_line(self, deadline)
        if line.kind == "BEGIN":
            time.sleep(2)
        return line

    monkeypatch.setattr(console.Control, "next_line", late)
    (record,) = verdicts("echo '<3>said early' >/dev/kmsg")
    assert "said early" in record.outcome.kernel_log

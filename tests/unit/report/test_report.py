"""What a run looks like to its readers."""

import datetime
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat.model import Check, Job, Matrix, Payload, Profile, Project, Shipped
from bpfcompat.outcome import (
    Classification,
    Observed,
    Outcome,
    OutcomeKind,
    Record,
    Run,
    Status,
    Stream,
    Target,
    TestResult,
    Verdict,
)
from bpfcompat.project import schema
from bpfcompat.report import document, gate, progress, table, view

NOW = datetime.datetime(2026, 1, 1, 12, 0, tzinfo=datetime.timezone.utc)
PASS = Verdict(Status.PASS, exit_code=0)
FAIL = Verdict(
    Status.FAIL,
    Classification.COMMAND_VALIDATION_FAILURE,
    "Command exited 7 (expected 0) on this kernel.",
    "command",
    7,
)
INFRA = Verdict(Status.INFRA_ERROR, Classification.BOOT_FAILURE, "the guest did not come up in time.", "infra")
NOT_RUNNABLE = Verdict(Status.FAIL, Classification.LOADER_NOT_RUNNABLE, "not a program", "command")
CHECK = Check(command="loader --self-test")


def target(name, verdict, required=True, cached=False, stderr=""):
    ended = verdict.status is not Status.INFRA_ERROR
    outcome = Outcome(
        OutcomeKind.ENDED if ended else OutcomeKind.NO_VERDICT, "" if ended else verdict.reason,
        observed=Observed("6.1.0-56-cloud-amd64", "x86_64", "#1 SMP") if ended else None,
        wait_status=(verdict.exit_code or 0) << 8 if ended else None, stderr=Stream(len(stderr), len(stderr), stderr),
    )  # fmt: skip
    record = Record(
        name, "a" * 64, {}, verdict, outcome, "2026-01-01T11:00:00.000Z", "2026-01-01T11:00:02.000Z", 2.0, "r",
        kernel={"source": "apt:x/y"}, evidence=f"evidence/{name}", cached=cached,
    )  # fmt: skip
    return Target(Job(CHECK, Profile(name, "apt:x/y", required), name), record)


def run(*targets):
    profiles = tuple(target.job.profile for target in targets)
    project = Project((CHECK,), Matrix(profiles, "m", Path("/m.yaml")), Path("/w/.bpfcompat"))
    return Run(
        "r", "2026-01-01T11:00:00.000Z", "2026-01-01T11:00:03.000Z", project, targets, {}, "7.2", "tcg", "", "cold"
    )


def seen(found):
    """A run as every output but report.json reads it."""
    report = document.render(found, {"json": "/w/.bpfcompat/report.json"})
    assert schema.problems(report, "report") == []
    return view.read(report)


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        ([("a", PASS)], 0),
        ([("a", PASS), ("b", FAIL)], 2),
        ([("a", INFRA), ("b", FAIL)], 2),
        ([("a", PASS), ("b", INFRA)], 1),
        ([("a", PASS), ("b", FAIL, False)], 0),
        ([("a", PASS), ("b", INFRA, False)], 0),
        ([("a", FAIL, False)], 0),
        ([("a", NOT_RUNNABLE)], 1),
    ],
)
def test_the_gate(targets, code):
    assert gate.summarize(run(*(target(*parts) for parts in targets))).exit_code == code


def test_the_gate_says_what_does_not_count():
    notes = gate.summarize(run(target("a", FAIL, False))).notes
    assert any("No profile of this matrix is required" in note for note in notes)
    assert any("a is optional, so its fail does not count" in note for note in notes)


def test_what_fails_everywhere_in_the_same_way_is_hardly_the_kernel_s_fault():
    (note,) = gate.summarize(run(*(target(name, FAIL) for name in "abc"))).notes
    assert note.startswith("It fails in the same way on each of the 3 kernels: look first at the program")
    other = replace(FAIL, reason="Command was killed by SIGSEGV (expected exit 0) on this kernel.")
    for verdict in (PASS, INFRA, other):
        assert gate.summarize(run(target("a", FAIL), target("b", FAIL), target("c", verdict))).notes == ()
    assert gate.summarize(run(target("a", FAIL), target("b", FAIL), target("c", FAIL, stderr="x"))).notes == ()


def test_suites_that_differ_do_not_fail_in_the_same_way():
    alike = [target(name, FAIL) for name in "abc"]
    for other in ({"stdout": Stream(4, 4, "none")}, {"results": (TestResult("TestLoop", "fail"),)}):
        odd = replace(alike[2], record=replace(alike[2].record, outcome=replace(alike[2].record.outcome, **other)))
        assert gate.summarize(run(*alike[:2], odd)).notes == ()


def test_the_table():
    text = table.render(
        seen(run(target("a", PASS, cached=True), target("b", FAIL, stderr="no BTF\nboom"), target("c", INFRA))), NOW
    )
    lines = text.splitlines()
    assert lines[0].split() == ["profile", "kernel", "verdict", "exit", "seconds", "cached", "why"]
    assert lines[2].split()[:5] == ["a", "6.1.0-56-cloud-amd64", "pass", "0", "2.00"]
    assert "59 min ago" in lines[2]
    assert "Command exited 7" in lines[3]
    assert "BOOT_FAILURE" in lines[4]
    assert "    boom" in lines
    assert lines[-1] == "1 passed, 1 failed, 1 without a verdict (2 run, 1 cached)"


def test_a_run_that_booted_nothing_says_so():
    assert "nothing booted" in table.render(seen(run(target("a", PASS, cached=True))), NOW)


def test_guest_text_cannot_drive_a_terminal():
    text = table.render(seen(run(target("b", FAIL, stderr="\x1b]0;title\x07\x1b[2J\u202e"))), NOW)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b" in text


def test_report_json_fits_its_schema_and_writes_zero_and_false():
    report = document.render(run(target("a", PASS), target("b", FAIL, False), target("c", INFRA)), {"json": "/r.json"})
    assert schema.problems(report, "report") == []
    first = report["targets"][0]["functional"]["tests"][0]
    assert (first["exit_code"], first["expected_exit_code"], first["stdout_bytes"], first["timed_out"]) == (
        0,
        0,
        0,
        False,
    )
    assert [row["profile_id"] for row in report["targets"]] == ["a", "b", "c"]
    assert report["targets"][2]["infra_error"]
    assert report["summary"]["status"] == "error"


def test_report_json_names_what_was_tested():
    one = run(target("a", PASS))
    assert document.render(one, {"json": "x"})["artifact"]["path"] == "command://command"
    binary = Shipped("/b/loader", "loader", "b" * 64, 9)
    two = replace(one, payloads={"command": Payload("d" * 64, binary=binary)})
    found = document.render(two, {"json": "x"}, {"name": "mine"})
    assert found["artifact"]["path"] == "command://loader"
    assert found["command"]["binary"] == {"basename": "loader", "sha256": "b" * 64, "size_bytes": 9}
    assert found["artifact"]["source"] == {"name": "mine"}
    assert schema.problems(found, "report") == []


def test_a_redacted_report_holds_no_command():
    one = run(target("a", PASS))
    report = document.render(replace(one, project=replace(one.project, redact=True)), {"json": "x"})
    assert "self-test" not in str(report)


def test_the_line_of_what_goes_on_fits_the_terminal():
    assert progress.render(5, 2, ("booting a", "running b"), 80) == "[2/5] booting a, running b"
    long = progress.render(100, 2, tuple(f"running kernel-{number}" for number in range(20)), 40)
    assert long.endswith("…")
    assert len(long) < 40


def test_colour_is_the_words_own_and_changes_no_text():
    failed = target("a", FAIL)
    assert re.sub(r"\x1b\[\d+m", "", table.line(failed, colour=True)) == table.line(failed)
    assert "\x1b" not in table.line(failed)


def test_notes_of_what_passed_are_told_once_and_bounded():
    notes = tuple(f"n{number}" for number in range(12))
    rows = [target(name, PASS) for name in ("a", "b")]
    outcomes = [replace(one.record.outcome, notes=notes) for one in rows]
    noted = [
        replace(one, record=replace(one.record, outcome=outcome)) for one, outcome in zip(rows, outcomes, strict=True)
    ]
    text = table.render(seen(run(*noted)), NOW)
    assert "note: n0 (a, b)" in text
    assert "note: report.json has 2 more notes." in text
    assert "n11" not in text

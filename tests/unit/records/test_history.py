"""The history: every line bound to the one before it, whatever runs beside it and whatever is done to it later."""

import gzip
import json
import multiprocessing
from dataclasses import replace

import pytest

from bpfcompat.cli import main
from bpfcompat.errors import BpfcompatError
from bpfcompat.records import history
from bpfcompat.report import document
from bpfcompat.system import atomic

from ..report.test_report import FAIL, INFRA, PASS, run, target


def append(folder, found):
    history.append(folder, found, atomic.json_text(found))


def report(number, *targets, name=None, version=None):
    found = replace(run(*(targets or [target("a", PASS)])), id=f"20260101T0000{number:02}Z-abcdef")
    source = {key: value for key, value in (("name", name), ("version", version)) if value}
    return document.render(found, {"json": "/w/report.json"}, source or None)


@pytest.fixture
def five(tmp_path):
    for number in range(5):
        append(tmp_path, report(number))
    return tmp_path


def test_what_is_appended_is_verified(five):
    found = history.verify(five)
    assert (found.entries, found.problems) == (5, ())
    assert [entry["run_id"][-9:-7] for entry in history.entries(five)] == ["0Z", "1Z", "2Z", "3Z", "4Z"]
    assert history.report(five, history.entries(five)[2])["run"]["id"] == "20260101T000002Z-abcdef"


def test_every_flipped_byte_is_found(five):
    file = history.path(five)
    whole = file.read_bytes()
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert history.verify(five).problems, at
    for at in (index for index, byte in enumerate(whole) if byte == ord("\n")):
        file.write_bytes(whole[:at] + b"\r" + whole[at + 1 :])
        assert history.verify(five).problems, at


@pytest.mark.parametrize("keep", [[0, 1, 3, 4], [1, 2, 3, 4], [0, 2, 1, 3, 4], [0, 0, 1, 2, 3, 4]])
def test_lines_that_are_removed_moved_or_doubled_are_found(five, keep):
    lines = history.path(five).read_bytes().splitlines(keepends=True)
    history.path(five).write_bytes(b"".join(lines[number] for number in keep))
    assert any("does not follow" in problem for problem in history.verify(five).problems)


def test_a_kept_report_that_was_changed_is_found(five):
    kept = history.path(five).parent / history.entries(five)[1]["report"]
    changed = gzip.decompress(kept.read_bytes()).replace(b'"pass"', b'"fail"')
    kept.write_bytes(gzip.compress(changed))
    assert history.verify(five).problems == ("line 2: the report of 20260101T000001Z-abcdef is not what was written.",)
    with pytest.raises(BpfcompatError, match="not what was written"):
        history.report(five, history.entries(five)[1])
    kept.unlink()
    assert "not there any more" in history.verify(five).problems[0]


def test_only_so_many_reports_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "REPORTS_KEPT", 3)
    for number in range(5):
        append(tmp_path, report(number))
    assert len(list((tmp_path / "registry" / "reports").iterdir())) == 3
    assert history.verify(tmp_path) == history.Verification(5, ())


def test_a_damaged_last_line_is_not_continued(five):
    file = history.path(five)
    file.write_bytes(file.read_bytes().replace(b"000004Z", b"000009Z"))
    before = file.read_bytes()
    with pytest.raises(BpfcompatError, match="last line"):
        append(five, report(9))
    assert file.read_bytes() == before


def test_a_line_that_a_killed_run_left_half_is_dropped(five):
    file = history.path(five)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:100])
    assert history.verify(five).problems, "until then it is told"
    append(five, report(9))
    assert history.verify(five) == history.Verification(6, ())


def _append_ten(folder, worker):
    for number in range(10):
        append(folder, report(worker * 10 + number))


def test_parallel_runs_leave_a_whole_chain(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_append_ten, [(tmp_path, worker) for worker in range(4)])
    assert history.verify(tmp_path) == history.Verification(40, ())


def test_the_verbs(tmp_path, capsys):
    append(tmp_path, report(1, target("a", PASS), target("b", PASS), name="agent", version="1.0"))
    append(tmp_path, report(2, target("a", FAIL), target("c", INFRA), name="agent", version="1.1"))
    append(tmp_path, report(3, name="other"))
    where = ["--workdir", str(tmp_path)]
    assert main(["history", "list", *where, "--artifact-name", "agent"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:5] == [
        "20260101T000001Z-abcdef",
        "agent",
        "1.0",
        "m",
        "pass",
    ]
    assert main(["history", "list", *where, "--json", "--limit", "1"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == ["other"]
    assert main(["history", "trend", *where]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["a  .F.", "b  .", "c   ?"]
    assert main(["history", "verify", *where]) == 0
    versions = ["--artifact-name", "agent", "--base-version", "1.0", "--head-version", "1.1"]
    assert main(["compare", *where, *versions]) == 0
    assert "pass (0) -> fail (7)" in capsys.readouterr().out
    assert main(["compare", *where, *versions, "--fail-on-regression", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["summary"]["counts"]["regressed"] == 1
    history.path(tmp_path).write_bytes(history.path(tmp_path).read_bytes().replace(b"agent", b"Agent", 1))
    assert main(["history", "verify", *where, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["entries"] == 3


def test_what_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["history", "list", "--workdir", str(tmp_path)]) == 1
    assert "there is no history" in capsys.readouterr().err
    append(tmp_path, report(1))
    assert main(["compare", "--workdir", str(tmp_path), "--base-version", "x", "--head-version", "y"]) == 1
    assert "run x is not in the history" in capsys.readouterr().err
    assert main(["compare", "--base-version", "x"]) == 1

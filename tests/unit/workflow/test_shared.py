"""Verdicts that machines share: believed as an import is, written once, and a disagreement is told."""

import shutil
from dataclasses import replace

import pytest

from bpfcompat.records import shared as records_shared
from bpfcompat.workflow.shared import SharedVerdicts

from ..records.test_shared import ReadOnly, bucket, web
from .test_transfer import filled, record


class Machine:
    def __init__(self, folder, url, *made):
        self.told = []
        self.store = filled(folder, *made)
        self.verdicts = SharedVerdicts(url, self.store, self.told.append)


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "place")


def objects(tmp_path):
    return sorted((tmp_path / "place").rglob("*.tar.gz"))


def test_what_one_found_out_another_has_with_its_logs(tmp_path, url):
    giver, taker = Machine(tmp_path / "a", url, record(1), record(2, 7)), Machine(tmp_path / "b", url)
    for number, code in ((1, 0), (2, 7)):
        assert giver.verdicts.give(record(number, code)) == record(number, code)
    keys = [record(1).key, record(2, 7).key, record(3).key]
    taker.verdicts.bring(keys)
    for number, code in ((1, 0), (2, 7)):
        found = taker.store.get(record(number, code).key)
        assert found.verdict == record(number, code).verdict
        assert found.imported_from
        assert (taker.store.workdir / found.evidence / "stdout.log").read_bytes().startswith(b"\0\xff")
    assert taker.store.get(keys[2]) is None
    assert giver.told == taker.told == []


def test_it_goes_through_a_bucket(tmp_path, monkeypatch):
    with bucket(monkeypatch) as url:
        Machine(tmp_path / "a", url, record(1)).verdicts.give(record(1))
        taker = Machine(tmp_path / "b", url)
        taker.verdicts.bring([record(1).key, record(2).key])
        assert taker.store.get(record(1).key).verdict == record(1).verdict
        assert taker.told == []


def test_the_same_verdict_is_written_once(tmp_path, url):
    first, second = (Machine(tmp_path / name, url, record(1)) for name in "ab")
    first.verdicts.give(record(1))
    before = objects(tmp_path)[0].stat()
    assert second.verdicts.give(record(1)) == record(1)
    assert objects(tmp_path)[0].stat() == before
    assert second.told == []


def test_two_verdicts_of_one_key_are_told_and_both_kept(tmp_path, url):
    passed, failed = record(1), replace(record(1, 7), key=record(1).key, evidence=record(1).evidence)
    first, second = Machine(tmp_path / "a", url, passed), Machine(tmp_path / "b", url, failed)
    first.verdicts.give(passed)
    noted = second.verdicts.give(failed)
    assert "DISAGREEMENT: kernel-1 came to fail COMMAND_VALIDATION_FAILURE here, and to pass at" in second.told[0]
    assert noted.outcome.notes == (second.told[0],)
    assert {path.name for path in objects(tmp_path)} == {"pass.tar.gz", "fail.tar.gz"}

    third = Machine(tmp_path / "c", url)
    third.verdicts.bring([passed.key])
    assert third.store.get(passed.key) is None
    assert "holds both a pass and a fail" in third.told[0]


@pytest.mark.parametrize("damage", ["torn", "foreign", "another key", "another meaning", "empty"])
def test_what_is_no_honest_verdict_is_told_and_not_used(tmp_path, url, damage):
    giver = Machine(tmp_path / "a", url, record(1), record(2))
    giver.verdicts.give(record(1))
    (path,) = objects(tmp_path)
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "foreign":
        path.write_bytes(b"<html>please log in</html>")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "another key":
        giver.verdicts.give(record(2))
        shutil.copy(next(other for other in objects(tmp_path) if record(2).key in str(other)), path)
    else:
        lying = replace(record(1, 7), key=record(1).key, evidence=record(1).evidence, verdict=record(1).verdict)
        giver.store.put(lying)
        path.unlink()
        giver.verdicts.give(lying)
    taker = Machine(tmp_path / "b", url)
    taker.verdicts.bring([record(1).key])
    assert taker.store.get(record(1).key) is None
    assert "is not used" in taker.told[0]
    # Who finds it out puts a whole one there.
    again = Machine(tmp_path / "c", url, record(1))
    again.verdicts.give(record(1))
    last = Machine(tmp_path / "d", url)
    last.verdicts.bring([record(1).key])
    assert last.store.get(record(1).key).verdict == record(1).verdict


def test_without_network_there_is_one_note_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(records_shared, "_PAUSE", 0)
    with web(tmp_path / "nothing") as url:
        pass
    machine = Machine(tmp_path / "a", url, record(1))
    machine.verdicts.bring([f"{number:064x}" for number in range(100)])
    machine.verdicts.bring(["f" * 64])
    assert machine.verdicts.give(record(1)) == record(1)
    assert len(machine.told) == 1
    assert "this run has local verdicts only" in machine.told[0]


def test_a_server_that_only_gives_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(records_shared, "_PAUSE", 0)
    (tmp_path / "web" / "verdicts").mkdir(parents=True)
    with web(tmp_path / "web", ReadOnly) as url:
        Machine(tmp_path / "a", str(tmp_path / "web" / "verdicts"), record(1)).verdicts.give(record(1))
        machine = Machine(tmp_path / "b", url, record(2), record(3))
        machine.verdicts.bring([record(1).key])
        assert machine.store.get(record(1).key).verdict == record(1).verdict
        machine.verdicts.give(record(2))
        machine.verdicts.give(record(3))
    assert len(machine.told) == 1
    assert "takes no verdicts" in machine.told[0]


def test_a_key_is_asked_for_once_a_run(tmp_path, url):
    taker = Machine(tmp_path / "b", url)
    taker.verdicts.bring([record(1).key])
    Machine(tmp_path / "a", url, record(1)).verdicts.give(record(1))
    taker.verdicts.bring([record(1).key])
    assert taker.store.get(record(1).key) is None

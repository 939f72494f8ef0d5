"""Verdicts to go: what arrives is what was found out, and what is not is refused whole."""

import io
import json
import random
import tarfile
from dataclasses import asdict, replace

import pytest

from bpfcompat import verdict
from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Expectation
from bpfcompat.outcome import COLLECTED, Collected, Outcome, OutcomeKind, Record, Status
from bpfcompat.records.store import VerdictStore
from bpfcompat.system import digest
from bpfcompat.workflow import jobs, transfer


def record(number, exit_code=0, **changed):
    parts = {"kernel image": f"{number:064x}", "expectation": asdict(Expectation())}
    outcome = Outcome(OutcomeKind.ENDED, wait_status=exit_code << 8)
    key = jobs.key(parts)
    made = Record(
        f"kernel-{number}", key, parts, verdict.decide(outcome, Expectation()), outcome,
        "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", 1.0, "run-1", evidence=f"evidence/{key[:16]}/run-1",
    )  # fmt: skip
    return replace(made, **changed)


def filled(folder, *records):
    store = VerdictStore(folder)
    store.prepare()
    for made in records:
        logs = store.evidence(made.key, made.run_id)
        (logs / "stdout.log").write_bytes(b"\0\xff" + made.job.encode())
        (logs / "second").mkdir()
        (logs / "second" / "console.log").write_text("again")
        store.put(made)
    return store


@pytest.fixture
def sent(tmp_path):
    store = filled(tmp_path / "sender", record(1), record(2, 7))
    assert transfer.export(store, tmp_path / "verdicts.tar.gz", "ci-7") == 2
    return tmp_path / "verdicts.tar.gz"


def test_verdicts_and_logs_arrive_and_say_whose_they_are(tmp_path, sent):
    store = VerdictStore(tmp_path / "receiver")
    assert transfer.take(store, sent) == transfer.Imported(2, 0, "ci-7")
    for made in (record(1), record(2, 7)):
        found = store.get(made.key)
        assert found == replace(made, imported_from="ci-7")
        logs = store.workdir / found.evidence
        assert (logs / "stdout.log").read_bytes() == b"\0\xff" + made.job.encode()
        assert (logs / "second" / "console.log").read_text() == "again"
    assert not [path for path in store.workdir.iterdir() if path.name.startswith(".import")]


def with_file():
    made = record(3)
    file = Collected("a b/ä", digest.of_bytes(b"cover"), 5)
    return replace(made, outcome=replace(made.outcome, collected=(file,)))


def test_collected_files_arrive_if_they_are_what_the_record_says(tmp_path):
    for content, taken in ((b"cover", True), (b"COVER", False)):
        made = with_file()
        store = filled(tmp_path / f"sender-{taken}", made)
        place = store.workdir / made.evidence / COLLECTED / "a b" / "ä"
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        assert transfer.export(store, tmp_path / "file.tar.gz", "ci-7") == 1
        receiver = VerdictStore(tmp_path / f"receiver-{taken}")
        if not taken:
            with pytest.raises(BpfcompatError, match="not what was collected"):
                transfer.take(receiver, tmp_path / "file.tar.gz")
            continue
        assert transfer.take(receiver, tmp_path / "file.tar.gz").taken == 1
        assert (receiver.workdir / made.evidence / COLLECTED / "a b" / "ä").read_bytes() == b"cover"


def test_what_was_found_out_here_counts_for_more(tmp_path, sent):
    store = filled(tmp_path / "receiver", record(1, run_id="mine", evidence=f"evidence/{record(1).key[:16]}/mine"))
    assert transfer.take(store, sent) == transfer.Imported(1, 1, "ci-7")
    assert store.get(record(1).key).run_id == "mine"
    assert (store.workdir / store.get(record(1).key).evidence / "stdout.log").exists()


def test_a_second_hop_still_names_who_found_it_out(tmp_path, sent):
    middle = VerdictStore(tmp_path / "middle")
    transfer.take(middle, sent)
    transfer.export(middle, tmp_path / "again.tar.gz", "laptop")
    store = VerdictStore(tmp_path / "receiver")
    transfer.take(store, tmp_path / "again.tar.gz")
    assert store.get(record(1).key).imported_from == "ci-7"


def forged(path, *members, verdicts=0):
    about = ("bpfcompat-verdicts.json", json.dumps({"format": 1, "sender": "x", "verdicts": verdicts}).encode())
    with tarfile.open(path, "w:gz") as archive:
        for name, data in (about, *members):
            member = tarfile.TarInfo(name)
            if data is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            member.size = len(data or b"")
            archive.addfile(member, io.BytesIO(data or b""))
    return path


def plain(made):
    from bpfcompat.records import form

    return (f"verdicts/{made.key}.json", json.dumps(form.plain(made)).encode())


@pytest.mark.parametrize(
    ("members", "verdicts", "words"),
    [
        ([("../../escape.log", b"x")], 0, "neither a verdict nor a log"),
        ([("/etc/cron.d/x", b"x")], 0, "neither a verdict nor a log"),
        ([("evidence/" + "0" * 16 + "/run/../../../x.log", b"x")], 0, "neither a verdict nor a log"),
        ([("evidence/" + "0" * 16 + "/run/x.log", None)], 0, "neither a verdict nor a log"),
        ([plain(record(1))], 2, "1 of 2 verdicts"),
        ([plain(replace(record(1), key="0" * 64))], 1, "not one of the inputs"),
        ([plain(replace(record(1), verdict=replace(record(1, 7).verdict)))], 1, "not what its outcome means"),
        ([plain(replace(record(1, 7), verdict=record(1).verdict))], 1, "not what its outcome means"),
        ([plain(replace(record(1), evidence="../../.ssh"))], 1, "has its logs at"),
        ([plain(replace(record(1), run_id="../../x", evidence=f"evidence/{record(1).key[:16]}/../../x"))], 1, "has its logs at"),
        ([("verdicts/" + "0" * 64 + ".json", b"{}")], 1, "not one of the inputs"),
        ([("verdicts/" + "0" * 64 + ".json", b"[" * 100000)], 1, "not one of the inputs"),
    ],
)  # fmt: skip
def test_what_is_no_honest_verdict_is_refused_and_nothing_is_taken(tmp_path, members, verdicts, words):
    store = VerdictStore(tmp_path / "receiver")
    with pytest.raises(BpfcompatError, match=words):
        transfer.take(store, forged(tmp_path / "x.tar.gz", *members, verdicts=verdicts))
    assert list(store.records()) == []
    assert not (tmp_path / "escape.log").exists()


def test_a_timeout_is_never_imported(tmp_path):
    outcome = Outcome(OutcomeKind.TIMEOUT, "too long")
    made = replace(record(1), outcome=outcome, verdict=verdict.decide(outcome, Expectation()))
    assert made.verdict.status is Status.FAIL
    with pytest.raises(BpfcompatError, match="never stored"):
        transfer.take(VerdictStore(tmp_path / "r"), forged(tmp_path / "x.tar.gz", plain(made), verdicts=1))


def test_a_damaged_file_is_one_sentence_and_takes_nothing(tmp_path, sent):
    whole, dice = sent.read_bytes(), random.Random(1)
    for _ in range(300):
        damaged = bytearray(whole)
        if dice.random() < 0.5:
            del damaged[dice.randrange(len(damaged)) :]
        else:
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        sent.write_bytes(damaged)
        store = VerdictStore(tmp_path / "receiver")
        try:
            transfer.take(store, sent)
        except BpfcompatError:
            assert list(store.records()) == []
        else:  # a byte of the header that means nothing
            assert [(found.key, found.verdict) for found in store.records()] == sorted(
                (made.key, made.verdict) for made in (record(1), record(2, 7))
            )
            for found in store.records():
                store.forget(found.key)

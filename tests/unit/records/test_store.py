"""What is kept on disk: whole or not at all, and never trusted when it is not ours."""

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.outcome import Observed, Outcome, OutcomeKind, Record, Status, Stream, Verdict
from bpfcompat.records import VerdictStore

KEY = "ab" * 32
OUTCOME = Outcome(
    OutcomeKind.ENDED,
    observed=Observed("6.1", "x86_64", "#1"),
    wait_status=256,
    command_seconds=0.5,
    stdout=Stream(3, 3, "out"),
    notes=("n",),
)
RECORD = Record("a", KEY, {"command": "x"}, Verdict(Status.FAIL, exit_code=1), OUTCOME, "t0", "t1", 1.5, "run-1")


@pytest.fixture
def store(tmp_path):
    store = VerdictStore(tmp_path / ".bpfcompat")
    store.prepare()
    return store


def test_a_record_comes_back_as_it_was(store):
    store.evidence(KEY, "run-1")
    store.put(RECORD)
    assert store.get(KEY) == RECORD


def test_only_the_evidence_of_the_stored_run_is_kept(store):
    old, new = store.evidence(KEY, "run-0"), store.evidence(KEY, "run-1")
    store.put(RECORD)
    assert new.is_dir()
    assert not old.exists()
    store.forget(KEY)
    assert store.get(KEY) is None
    assert not new.exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"key": "x"}', b"\xff\xfe"])
def test_a_torn_or_foreign_file_is_no_verdict(store, damage):
    store.evidence(KEY, "run-1")
    store.put(RECORD)
    store.path(KEY).write_bytes(damage)
    assert store.get(KEY) is None


def test_a_record_under_another_key_is_no_verdict(store):
    store.evidence(KEY, "run-1")
    store.put(RECORD)
    other = "cd" * 32
    store.path(other).parent.mkdir()
    store.path(KEY).rename(store.path(other))
    assert store.get(other) is None


def test_a_work_directory_of_another_format_is_left_alone(store):
    (store.workdir / "format").write_text("99\n")
    with pytest.raises(BpfcompatError, match="has format 99"):
        store.prepare()

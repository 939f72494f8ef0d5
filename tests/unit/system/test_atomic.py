"""Writes that are whole or not there, and locks."""

import json
import multiprocessing

import pytest

from bpfcompat.system import atomic


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file"
    atomic.write(target, b"old")
    with pytest.raises(TypeError):
        atomic.write_json(target, object())
    with pytest.raises(TypeError):
        atomic.write(target, "text")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def _count(folder):
    for _ in range(20):
        with atomic.locked(folder / "lock"):
            path = folder / "counter"
            path.write_text(str(int(path.read_text()) + 1))


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count, args=(tmp_path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "counter").read_text() == "80"
    assert not (tmp_path / "lock").exists()


def test_a_report_of_stored_json_is_utf8(tmp_path):
    atomic.write_json(tmp_path / "x.json", {"a": "ä\udcff"})
    assert json.loads((tmp_path / "x.json").read_bytes())["a"].startswith("ä")

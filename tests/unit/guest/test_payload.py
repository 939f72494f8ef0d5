"""What a check brings, and what it is known by."""

import os

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import payload
from bpfcompat.model import Check


def test_a_payload_is_known_by_what_is_in_it(tmp_path):
    loader = tmp_path / "loader"
    loader.write_bytes(b"one")
    check = Check(command="x", binary=loader, root=tmp_path)
    first = payload.measure(check)
    assert first.binary
    assert first.binary.path == "/bpfcompat/payload/bin/loader"
    os.utime(loader, (1, 1))
    assert payload.measure(check) == first
    loader.write_bytes(b"two")
    assert payload.measure(check).digest != first.digest


@pytest.mark.parametrize("change", ["mode", "name", "link", "folder"])
def test_names_modes_and_links_of_files_count(tmp_path, change):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("x")
    (tmp_path / "data" / "l").symlink_to("a")
    check = Check(command="x", files=(tmp_path / "data",), root=tmp_path)
    before = payload.measure(check).digest
    if change == "mode":
        (tmp_path / "data" / "a").chmod(0o755)
    elif change == "name":
        (tmp_path / "data" / "a").rename(tmp_path / "data" / "b")
    elif change == "link":
        (tmp_path / "data" / "l").unlink()
        (tmp_path / "data" / "l").symlink_to("b")
    else:
        (tmp_path / "data" / "empty").mkdir()
    assert payload.measure(check).digest != before


def test_inputs_that_cannot_be_used(tmp_path):
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    outside = tmp_path.parent / "outside"
    outside.write_text("x")
    for check, words in (
        (Check(command="x", binary=tmp_path / "none"), "does not exist"),
        (Check(command="x", binary=tmp_path / "dir"), "is a folder"),
        (Check(command="x", binary=tmp_path / "fifo"), "not a regular file"),
        (Check(command="x", artifact=tmp_path / "none"), "artifact: "),
        (Check(command="x", files=(tmp_path / "none",), root=tmp_path), "does not exist"),
        (Check(command="x", files=(tmp_path / ".." / "outside",), root=tmp_path), "is not below"),
        (Check(command="x", files=(tmp_path / "fifo",), root=tmp_path), "neither a file"),
    ):
        with pytest.raises(BpfcompatError, match=words):
            payload.measure(check)

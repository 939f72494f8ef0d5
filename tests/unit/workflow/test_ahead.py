"""What the last call with the same words asked for, and whether it is restored."""

from pathlib import Path

import pytest

from bpfcompat.system import disk as disks
from bpfcompat.system import host, slots
from bpfcompat.vm import BOARDS, Machine, bootimage
from bpfcompat.workflow import ahead
from bpfcompat.workflow.standby import Standby

WORDS = ("apt:x", "")
DISKS = (("tools", Path("/t")), ("modules", Path("/m")))
MACHINE = Machine(
    "/usr/bin/qemu-system-aarch64",
    "tcg",
    256,
    2,
    Path("/image"),
    Path("/ram"),
    "quiet",
    DISKS,
    board=BOARDS["arm64"],
)
IMAGE = Path("/cache/bootimages/x")


@pytest.fixture
def expected(monkeypatch):
    """What was to be restored."""
    found = []
    monkeypatch.setattr(bootimage, "is_whole", lambda image: image == IMAGE)
    monkeypatch.setattr(host, "program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(Standby, "expect", lambda _, machines: found.extend(machines))
    return found


def entered(cache, words=WORDS):
    with ahead.Ahead(cache, words) as found:
        found.begin()
        return found.has_place


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    disks.empty(path, 64)
    return path


def test_the_machine_of_the_same_words_is_restored(tmp_path, expected, disk):
    assert not entered(tmp_path)
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE, disk)
    assert (entered(tmp_path), expected) == (True, [(MACHINE, IMAGE)])
    assert not entered(tmp_path, ("apt:x", "/elsewhere"))
    assert not entered(tmp_path, None)


def test_none_is_restored_whose_image_is_not_whole(tmp_path, expected, disk):
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE.with_name("y"), disk)
    assert (entered(tmp_path), expected) == (False, [])


def test_none_is_restored_if_all_places_are_taken(tmp_path, expected, disk, monkeypatch):
    monkeypatch.setattr(host, "jobs", lambda _: 1)
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE, disk)
    with slots.slot(tmp_path / "slots", 1):
        assert (entered(tmp_path), expected) == (False, [])
    assert entered(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"words": ["apt:x", ""], "image": "/x", "machine": {"disks": []}}'])
def test_a_note_that_cannot_be_read_is_none_and_is_written_anew(tmp_path, expected, disk, text):
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE, disk)
    (path,) = (tmp_path / "ahead").iterdir()
    path.write_text(text)
    assert (entered(tmp_path), expected) == (False, [])
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE, disk)
    assert entered(tmp_path)


def test_no_machine_waits_for_a_payload_that_is_too_large_to_be_brought_to_it(tmp_path, expected, disk):
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE, disk)
    disk.write_bytes(bytes(33 << 20))
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE, disk)
    assert (entered(tmp_path), expected) == (False, [])


def test_a_note_does_not_choose_the_emulator(tmp_path, expected, disk, monkeypatch):
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE, disk)
    monkeypatch.setattr(host, "program", lambda name: f"/opt/bin/{name}")
    assert (entered(tmp_path), expected) == (False, [])


def test_only_the_machine_asked_for_is_held(tmp_path, expected, disk):
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE, disk)
    with ahead.Ahead(tmp_path, WORDS) as found:
        assert not found.holds(MACHINE, IMAGE)
        found.begin()
        assert [found.holds(MACHINE, image) for image in (IMAGE, IMAGE.with_name("y"), None)] == [True, False, False]
        assert found.has_place


def test_there_are_only_so_many_notes(tmp_path, expected, disk):
    for number in range(300):
        ahead.Ahead(tmp_path, (str(number),)).note(MACHINE, IMAGE, disk)
    assert len(list((tmp_path / "ahead").iterdir())) <= 64
    assert entered(tmp_path, ("299",))

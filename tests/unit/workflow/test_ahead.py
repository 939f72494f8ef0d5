"""What the last call with the same words asked for, and whether it is restored."""

from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.outcome import Classification
from bpfcompat.system import host, slots
from bpfcompat.vm import BOARDS, Machine, bootimage
from bpfcompat.workflow import ahead

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

    class Restored:
        def __init__(self, machine, image, disk, folder):
            assert (disk.is_file(), folder.is_dir()) == (True, True)
            found.append((machine, image))

        def resume(self):
            pass

        def stop(self):
            found.append("ended")

        def guest(self, evidence, live):
            return self

    monkeypatch.setattr(bootimage, "Restored", Restored)
    return found


def entered(cache, words=WORDS):
    with ahead.Ahead(cache, words) as found:
        found.begin()
        return found.folder is not None


def test_the_machine_of_the_same_words_is_restored(tmp_path, expected):
    assert not entered(tmp_path)
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE)
    assert (entered(tmp_path), expected) == (True, [(MACHINE, IMAGE), "ended"])
    assert not entered(tmp_path, ("apt:x", "/elsewhere"))
    assert not entered(tmp_path, None)


def test_none_is_restored_whose_image_is_not_whole(tmp_path, expected):
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE.with_name("y"))
    assert (entered(tmp_path), expected) == (False, [])


def test_none_is_restored_if_all_places_are_taken(tmp_path, expected, monkeypatch):
    monkeypatch.setattr(host, "jobs", lambda _: 1)
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE)
    with slots.slot(tmp_path / "slots", 1):
        assert (entered(tmp_path), expected) == (False, [])
    assert entered(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"words": ["apt:x", ""], "image": "/x", "machine": {"disks": []}}'])
def test_a_note_that_cannot_be_read_is_none_and_is_written_anew(tmp_path, expected, text):
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE)
    (path,) = (tmp_path / "ahead").iterdir()
    path.write_text(text)
    assert (entered(tmp_path), expected) == (False, [])
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE)
    assert entered(tmp_path)


def test_a_note_does_not_choose_the_emulator(tmp_path, expected, monkeypatch):
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE)
    monkeypatch.setattr(host, "program", lambda name: f"/opt/bin/{name}")
    assert (entered(tmp_path), expected) == (False, [])


def test_only_the_machine_asked_for_is_taken(tmp_path, expected):
    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE)
    with ahead.Ahead(tmp_path, WORDS) as found:
        assert (found.is_for(MACHINE, IMAGE), found.guest({})) == (False, None)
        found.begin()
        others = ((replace(MACHINE, cpus=1), IMAGE), (MACHINE, IMAGE.with_name("y")), (MACHINE, None))
        assert [found.is_for(*one) for one in ((MACHINE, IMAGE), *others)] == [True, False, False, False]
        assert found.guest({}) is not None
        assert expected == [(MACHINE, IMAGE)]
        folder = found.folder
        found.drop()
        assert (found.folder, folder.exists(), expected[1:]) == (None, False, ["ended"])


def test_one_that_does_not_come_up_is_ended_and_its_place_stays(tmp_path, expected, monkeypatch):
    def resume(_):
        raise NoVerdict(Classification.HOST_FAILURE, "QEMU died.")

    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE)
    monkeypatch.setattr(bootimage.Restored, "resume", resume)
    with ahead.Ahead(tmp_path, WORDS) as found:
        found.begin()
        assert (found.guest({}), found.folder.is_dir(), expected[1:]) == (None, True, ["ended"])


def test_a_note_for_an_emulator_that_is_gone_is_none(tmp_path, expected, monkeypatch):
    def program(name):
        raise BpfcompatError(f"{name} is not installed.")

    ahead.Ahead(tmp_path, WORDS).note(MACHINE, IMAGE)
    monkeypatch.setattr(host, "program", program)
    assert (entered(tmp_path), expected) == (False, [])


def test_there_are_only_so_many_notes(tmp_path, expected):
    for number in range(300):
        ahead.Ahead(tmp_path, (str(number),)).note(MACHINE, IMAGE)
    assert len(list((tmp_path / "ahead").iterdir())) <= 64
    assert entered(tmp_path, ("299",))

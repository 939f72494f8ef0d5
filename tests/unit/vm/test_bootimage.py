"""What a boot image is known by, and how many are kept."""

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat import cli
from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic, digest, host
from bpfcompat.vm import bootimage, qemu

MACHINE = qemu.Machine("qemu", "tcg", 512, 1, Path("/k/image"), Path("/k/initramfs"))
CONTENTS = {"kernel": "k", "modules": "m", "initramfs": "i", "tools": "t"}


def kept_image(cache, name, mebibytes, used):
    folder = bootimage.folder(cache) / name
    folder.mkdir(parents=True)
    (folder / "ram").write_bytes(bytes(mebibytes << 20))
    (folder / "image.json").write_text("{}")
    os.utime(folder / "image.json", (used, used))
    return folder


def test_pruning_drops_what_was_used_longest_ago_and_what_killed_runs_left(tmp_path):
    old, new = kept_image(tmp_path, "a" * 64, 2, 1000), kept_image(tmp_path, "b" * 64, 2, 2000)
    left = bootimage.folder(tmp_path) / f".{'c' * 64}.x1y2"
    left.mkdir()
    assert [image.path for image in bootimage.kept(tmp_path)] == [new, old]
    assert bootimage.prune(tmp_path, 5 << 20) == []
    assert not left.exists()
    assert [image.path for image in bootimage.prune(tmp_path, 3 << 20)] == [old]
    assert [image.path for image in bootimage.kept(tmp_path)] == [new]


def test_pruning_leaves_alone_what_is_being_made_or_restored(tmp_path):
    held = kept_image(tmp_path, "a" * 64, 2, 1000)
    making = bootimage.folder(tmp_path) / f".{'c' * 64}.x1y2"
    making.mkdir()
    with (held / "image.json").open("rb") as file, atomic.locked(bootimage.folder(tmp_path) / f"{'c' * 64}.lock"):
        fcntl.flock(file, fcntl.LOCK_SH)
        assert bootimage.prune(tmp_path, 0) == []
        assert making.exists()
    assert len(bootimage.prune(tmp_path, 0)) == 1
    assert not making.exists()


def test_a_boot_image_is_known_by_everything_that_shaped_it(monkeypatch):
    monkeypatch.setattr(host, "qemu_version", lambda name: "7.2")
    monkeypatch.setattr(host, "stamp", lambda path: [str(path)])
    known = bootimage.identity(MACHINE, CONTENTS)
    moved = replace(MACHINE, image=Path("/elsewhere/image"), initramfs=Path("/elsewhere/initramfs"))
    assert bootimage.identity(moved, CONTENTS) == known
    others = [
        bootimage.identity(replace(MACHINE, **change), CONTENTS)
        for change in ({"memory": 256}, {"cpus": 2}, {"cmdline": "x"}, {"accelerator": "kvm"}, {"binary": "other"})
    ]
    others += [bootimage.identity(MACHINE, {**CONTENTS, name: "other"}) for name in CONTENTS]
    monkeypatch.setattr(host, "qemu_version", lambda name: "7.3")
    others.append(bootimage.identity(MACHINE, CONTENTS))
    assert len({known, *others}) == len(others) + 1


def test_a_sparse_files_digest_does_not_depend_on_its_holes(tmp_path):
    content = bytes(1 << 17) + b"x" * 70000 + bytes(1 << 18) + b"y"
    (tmp_path / "full").write_bytes(content)
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(1 << 17)
        file.write(b"x" * 70000)
        file.seek(len(content) - 1)
        file.write(b"y")
    assert digest.of_sparse_file(tmp_path / "full") == digest.of_sparse_file(tmp_path / "sparse")
    for change in (b"z" * 70000, b"x" * 69999):
        (tmp_path / "other").write_bytes(content.replace(b"x" * 70000, change))
        assert digest.of_sparse_file(tmp_path / "other") != digest.of_sparse_file(tmp_path / "full")
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 1 << 20)
    (tmp_path / "empty").touch()
    assert digest.of_sparse_file(tmp_path / "hole") != digest.of_sparse_file(tmp_path / "empty")


def test_memory_as_a_file_is_shared_when_saved_and_private_when_restored():
    for saving, wanted in ((True, "share=on"), (False, "share=off")):
        line = qemu.argv(MACHINE, range(4), 4, Path("/p"), qemu.Memory(Path("/a,b"), saving))
        backend = line[line.index("-object") + 1]
        assert backend.endswith(wanted)
        assert "mem-path=/a,,b," in backend
        assert ("-incoming" in line) is not saving
    assert "-object" not in qemu.argv(MACHINE, range(4), 4, Path("/p"))


@pytest.mark.parametrize(("text", "size"), [("500M", 500 << 20), ("2G", 2 << 30), ("", 4 << 30)])
def test_the_size_of_all_boot_images_is_a_setting(monkeypatch, text, size):
    monkeypatch.setenv(host.BOOT_IMAGES_VARIABLE, text)
    assert host.boot_images_bytes() == size


def test_a_setting_that_is_no_size_is_told(monkeypatch):
    monkeypatch.setenv(host.BOOT_IMAGES_VARIABLE, "lots")
    with pytest.raises(BpfcompatError, match="BPFCOMPAT_BOOT_IMAGES: 'lots' is not a size"):
        host.boot_images_bytes()


def test_the_cache_verb_shows_what_is_kept_and_prunes_it(cache, capsys):
    kept_image(cache, "a" * 64, 2, 1000)
    kept_image(cache, "b" * 64, 2, 2000)
    (bootimage.folder(cache) / ("b" * 64) / "image.json").write_text('{"name": "6.1, 512 MiB"}')
    assert cli.main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "6.1, 512 MiB" in shown
    assert "(not whole)" in shown
    assert "boot images: 4 MB of at most 4,295 MB" in shown
    assert cli.main(["cache", "prune", "--to", "3M"]) == 0
    assert capsys.readouterr().out == "dropped 1 boot images (2 MB)\n"
    assert cli.main(["cache", "prune", "--to", "3T"]) == 1
    assert "--to: '3T' is not a size." in capsys.readouterr().err


def test_an_empty_cache_is_shown_too(cache, capsys):
    assert cli.main(["cache"]) == 0
    assert str(cache) in capsys.readouterr().out

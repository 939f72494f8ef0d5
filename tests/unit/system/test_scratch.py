"""Folders for temporary files: of the living, of the killed, and those to be kept."""

from bpfcompat.system import scratch


def test_temporary_files_of_a_killed_run_are_dropped_and_those_of_a_living_one_are_not(tmp_path):
    dead = tmp_path / "tmp" / "dead"
    dead.mkdir(parents=True)
    (dead.parent / "killed-before-its-folder-was-there.lock").touch()
    with scratch.folder(tmp_path / "tmp", "living") as living, scratch.folder(tmp_path / "tmp", "another"):
        assert not dead.exists()
        assert living.is_dir()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_is_to_be_kept_survives_the_next_run(tmp_path):
    with scratch.folder(tmp_path / "tmp", "first", keep=True) as kept:
        (kept / "disk").touch()
    with scratch.folder(tmp_path / "tmp", "second"):
        pass
    assert (kept / "disk").exists()
    assert {path.name for path in kept.parent.iterdir()} == {"first"}

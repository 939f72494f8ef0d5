"""Why a job runs again: what changed, by the names that a user knows."""

from bpfcompat.model import Check
from bpfcompat.workflow.explain import changes

PARTS = {"kernel image": "a" * 64, "memory": 512, "command": "x", "environment": {"MODE": "ci"}, "payload": "p" * 64}
CHECK = Check("x")


def phrases(was, now, old=None, new=None, check=CHECK):
    return list(changes(was, now, old, new or {}, check))


def test_nothing_changed():
    assert phrases(PARTS, PARTS) == []


def test_what_stands_in_the_project():
    now = {**PARTS, "memory": 1024, "command": "x --more\n" + "y" * 200, "environment": {"MODE": "dev", "NEW": "1"}}
    memory, command, mode, new = phrases(PARTS, now)
    assert memory == "memory: 512 -> 1024"
    assert command.startswith("command: x -> x --more yyy")
    assert len(command) < 130
    assert mode == "environment MODE: ci -> dev"
    assert new == "environment NEW: none -> 1"


def test_files_are_named_as_the_project_names_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check = Check("x", binary=tmp_path / "build" / "loader")
    old = {"bin/loader": (0o100755, "1" * 64), "files/a": (0o100644, "2" * 64), "files/gone": (0o100644, "3" * 64)}
    new = {
        "bin/loader": (0o100755, "9" * 64),
        "files/a": (0o100755, "2" * 64),
        "root/lib/libc.so": (0o100755, "4" * 64),
    }
    assert phrases(PARTS, {**PARTS, "payload": "q" * 64}, old, new, check) == [
        "binary build/loader: 111111111111... -> 999999999999...",
        "file a: mode 644 -> 755",
        "file gone: 333333333333... -> none",
        "library lib/libc.so: none -> 444444444444...",
    ]


def test_a_payload_that_is_not_known_any_more():
    (phrase,) = phrases(PARTS, {**PARTS, "payload": "q" * 64})
    assert phrase.startswith("payload: ")


def test_our_own_parts_are_said_in_words():
    (phrase,) = phrases({**PARTS, "kit": "a" * 64}, {**PARTS, "kit": "b" * 64})
    assert (
        phrase
        == "the kit that every guest is made of: init, bash, busybox and the tools: aaaaaaaaaaaa... -> bbbbbbbbbbbb..."
    )

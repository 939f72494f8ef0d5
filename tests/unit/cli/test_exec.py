"""What a program of `bpfcompat exec` finds around it, and what its end is told as."""

import subprocess
import sys

import pytest

from bpfcompat.cli.program import environment, outputs
from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import preflight, shares
from bpfcompat.outcome import Classification, Outcome, OutcomeKind
from bpfcompat.workflow import programs

USERLAND = preflight.Userland(lambda: frozenset({"sh"}))


def test_the_session_and_secrets_stay_here():
    ours = {
        "GOFLAGS": "-v", "PATH": "/opt/go/bin:/usr/bin", "SSH_AUTH_SOCK": "/x", "GITHUB_TOKEN": "t", "npm_auth": "x",
        "AWS_REGION": "eu", "DISPLAY": ":0", "MY_PASSWORD": "p",
    }  # fmt: skip
    assert environment(ours, []) == {
        "GOFLAGS": "-v",
        "PATH": "/opt/go/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin",
    }
    added = environment(ours, ["GITHUB_TOKEN", "A=b=c", "EMPTY="])
    assert (added["GITHUB_TOKEN"], added["A"], added["EMPTY"]) == ("t", "b=c", "")


def test_a_variable_that_is_not_there_cannot_be_passed_on():
    with pytest.raises(BpfcompatError, match="no such variable"):
        environment({}, ["ABSENT"])


def test_a_folder_below_another_comes_once(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    found = shares.find([tmp_path / "a" / "b", tmp_path / "a", tmp_path / "a"], None, USERLAND)
    assert found.folders == (tmp_path / "a",)


def test_folders_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shares, "AT_MOST", 10)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_text("eleven chars")
    found = shares.find([tmp_path / "here"], None, USERLAND)
    with pytest.raises(BpfcompatError, match="too large to come along") as refused:
        shares.copy(found, tmp_path / "tree", print)
    assert ".bpfcompatignore" in refused.value.hint


def test_the_root_folder_is_not_shared():
    with pytest.raises(BpfcompatError, match="cannot be shared"):
        shares.find([shares.Path("/")], None, USERLAND)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(OutcomeKind.ENDED, wait_status=7 << 8), 7),
        (Outcome(OutcomeKind.ENDED, wait_status=11 | 0x80), 139),
        (Outcome(OutcomeKind.TIMEOUT), 124),
        (Outcome(OutcomeKind.PANIC), 125),
        (Outcome(OutcomeKind.NO_VERDICT, classification=Classification.BOOT_FAILURE), 125),
        (Outcome(OutcomeKind.NO_VERDICT, classification=Classification.INTERRUPTED), 130),
    ],
)
def test_each_end_has_its_exit_code(outcome, code):
    assert programs.exit_code(outcome) == code


def test_what_go_wants_to_read_afterwards_comes_back():
    arguments = [
        "-test.coverprofile=/tmp/b001/_cover_.out",
        "-test.run=/x",
        "--test.gocoverdir=/tmp/b001/dir",
        "-test.trace=rel",
    ]
    assert [str(path) for path in outputs(arguments)] == ["/tmp/b001/_cover_.out", "/tmp/b001/dir"]


def test_what_a_program_does_not_need_is_not_loaded():
    code = """
import sys
from bpfcompat import kernels
from bpfcompat.cli import _parse, program
from bpfcompat.vm import machine
_parse(["exec", "--", "true"])
kernels.refuse_foreign("apt:x")
print(*sys.modules)"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "doit",
        "inspect",
        "yaml",
        "jsonschema",
        "jinja2",
        "watchdog",
        "pathspec",
        "fsspec",
        "distributed",
        "bpfcompat.verdict",
    }
    assert heavy.isdisjoint(loaded)

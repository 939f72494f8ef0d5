"""A real Go test binary on two kernels: its tests one by one, in every output, from a guest and from a stored verdict."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from lxml import etree

from bpfcompat.cli import main
from bpfcompat.project import schema

SOURCE = """
package suite

import (
	"os"
	"strings"
	"testing"
)

func TestLoads(t *testing.T) { t.Log("loading") }
func TestLoop(t *testing.T) {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	t.Run("on this kernel", func(t *testing.T) {
		if strings.HasPrefix(string(release), "5.") {
			t.Fatal("no bpf_loop | here")
		}
	})
}
func TestNotYet(t *testing.T) { t.Skip("needs more") }
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    if not shutil.which("go"):
        pytest.skip("no go here")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "go.mod").write_text("module suite\n")
    (tmp_path / "suite_test.go").write_text(SOURCE)
    subprocess.run(["go", "test", "-c", "-o", "suite.test"], check=True, env={**os.environ, "CGO_ENABLED": "0"})
    write(command="$BPFCOMPAT_BIN -test.v", binary="suite.test", results={"format": "go"})
    return tmp_path


def write(**check):
    matrix = [
        {"id": "old", "kernel": "apt:bullseye/linux-image-cloud-amd64"},
        {"id": "new", "kernel": "apt:bookworm/linux-image-cloud-amd64"},
    ]
    Path("bpfcompat.yaml").write_text(yaml.safe_dump({**check, "matrix": matrix}))


def test_the_tests_inside_a_go_binary(project, capsys):
    outputs = ["--markdown", "r.md", "--junit", "r.xml", "--html", "r.html", "--out", "r.json"]
    assert main(["run", *outputs]) == 2
    report = json.loads(Path("r.json").read_text())
    assert schema.problems(report, "report") == []
    told = {
        row["profile_id"]: {test["name"]: test["status"] for test in row["functional"]["tests"][1:]}
        for row in report["targets"]
    }
    assert told == {
        "old": {"TestLoads": "pass", "TestLoop": "fail", "TestLoop/on_this_kernel": "fail", "TestNotYet": "skipped"},
        "new": {"TestLoads": "pass", "TestLoop": "pass", "TestLoop/on_this_kernel": "pass", "TestNotYet": "skipped"},
    }
    assert {row["profile_id"]: row["status"] for row in report["targets"]} == {"old": "fail", "new": "pass"}
    sentence = "4 on 2 kernels: 2 do not agree between kernels, 1 passes everywhere, 1 is skipped everywhere"
    for name in ("r.md", "r.html"):
        assert sentence in Path(name).read_text(), name
    tree = etree.parse("r.xml")
    etree.XMLSchema(etree.parse(schema.FOLDER / "junit.xsd")).assertValid(tree)
    (failure,) = tree.xpath("//testcase[@name='TestLoop/on_this_kernel']/failure")
    assert "no bpf_loop | here" in failure.text

    assert main(["run"]) == 2
    assert f"{sentence}" in capsys.readouterr().out
    again = json.loads(Path(".bpfcompat/report.json").read_text())
    assert all(row["cached"] for row in again["targets"] if row["status"] == "pass")


def test_a_file_that_tells_of_tests(project, capsys):
    text = """<testsuite name="s"><testcase name="loads"/><testcase name="loop"><failure message="no"/></testcase></testsuite>"""
    (project / "r.in").write_text(text)
    write(
        command="mkdir out; cp r.in out/r.xml; exit 3", files=["r.in"], results={"format": "junit", "path": "out/r.xml"}
    )
    assert main(["run"]) == 2
    assert "2 on 2 kernels: 1 fails everywhere, 1 passes everywhere" in capsys.readouterr().out
    for row in json.loads(Path(".bpfcompat/report.json").read_text())["targets"]:
        assert [(test["name"], test["status"]) for test in row["functional"]["tests"][1:]] == [
            ("loads", "pass"),
            ("loop", "fail"),
        ]
        assert [one["path"] for one in row["collected"]] == ["out/r.xml"]

    write(command="mkdir -p out/r.xml; touch out/r.xml/a", results={"format": "junit", "path": "out/r.xml"})
    assert main(["run"]) == 0
    assert "there are no test results in the file out/r.xml: Is a directory" in capsys.readouterr().out

    write(command="true", results={"format": "junit", "path": "out/r.xml"})
    assert main(["run"]) == 0
    assert "there are no test results: the file out/r.xml did not come out of the guest" in capsys.readouterr().out


def test_a_tap_file_of_a_command_that_says_nothing_of_it_by_its_exit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = (
        "echo 1..3 > out.tap; echo ok 1 - maps >> out.tap; case $(uname -r) in 5.*) echo -n 'not ' >> out.tap;; esac;"
        " echo ok 2 - bpf_loop >> out.tap"
    )
    write(command=command, results={"format": "tap", "path": "out.tap"})
    assert main(["run", "--junit", "r.xml"]) == 0, "they decide nothing"
    said = capsys.readouterr().out
    assert "3 on 2 kernels: 1 does not agree between kernels, 1 fails everywhere, 1 passes everywhere" in said
    assert "note: it exits 0, though it says of 2 of its 3 tests that they failed: bpf_loop, test 3 (old)" in said
    assert "note: it exits 0, though it says of 1 of its 3 tests that they failed: test 3 (new)" in said
    assert etree.parse("r.xml").getroot().get("failures") == "0"

    write(command=f"seq 40000 100000; ({command}); cat out.tap; seq 40000 100000", results={"format": "tap"})
    assert main(["run"]) == 0
    said = capsys.readouterr().out
    assert "note: there are no test results in stdout, which is too long: it tells of no test" in said

    write(command=f"{command}; echo '<testsuite' > out.tap", results={"format": "junit", "path": "out.tap"})
    assert main(["run"]) == 0
    assert (
        "note: there are no test results in the file out.tap: it cannot be read as JUnit's XML"
        in capsys.readouterr().out
    )

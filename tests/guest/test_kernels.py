"""Naming, locking and keeping kernels: `bpfcompat kernels`, and runs that honour the lock."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from bpfcompat import kernels
from bpfcompat.cli import main
from bpfcompat.model import Profile
from bpfcompat.project import document, schema
from bpfcompat.system import host

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path, monkeypatch, profiles):
    """A project of one kernel of its own, in a file, and one of the archive."""
    monkeypatch.chdir(tmp_path)
    kernel = kernels.fetch(profiles["debian-12-6.1"], host.cache_folder())
    shutil.copy(kernel.image, "vmlinuz")
    Path("modules").mkdir()
    for path in kernel.modules:
        shutil.copy(path, Path("modules") / path.name.partition("-")[2])
    rows = [
        {"id": "mine", "kernel": "path:vmlinuz", "modules": "modules"},
        {"id": "common", "kernel": "apt:bookworm/linux-image-cloud-amd64"},
    ]
    Path("bpfcompat.yaml").write_text(yaml.safe_dump({"command": "uname -r", "boot": "cold", "matrix": rows}))
    return kernel


def said(capsys, *arguments, code=0):
    assert main(list(arguments)) == code, capsys.readouterr().err
    return capsys.readouterr().out


def test_what_is_locked_is_what_runs(project, capsys):
    assert "not fetched" in said(capsys, "kernels", "list").splitlines()[2]
    assert project.release in said(capsys, "kernels", "fetch")
    assert "2 kernels locked" in said(capsys, "kernels", "lock")
    lock = json.loads(Path("bpfcompat.yaml.lock").read_text())["profiles"]
    assert lock["common"]["image_sha256"] == project.image_sha256
    assert said(capsys, "kernels", "list").count(" locked ") == 2
    said(capsys, "run", "--offline")

    with Path("vmlinuz").open("ab") as image:
        image.write(b"\0")
    printed = said(capsys, "run", "--offline", code=1)
    assert "path:vmlinuz is not what it is locked to" in printed
    assert "bpfcompat kernels update mine" in printed
    assert "mine" in said(capsys, "kernels", "outdated", "--fail", code=2)
    assert " -> " in said(capsys, "kernels", "update", "mine")
    said(capsys, "run", "--offline")
    assert "(newest)" in said(capsys, "kernels", "outdated", "--fail")


def test_a_locked_kernel_that_has_vanished_says_what_replaced_it(project, capsys, tmp_path, monkeypatch):
    said(capsys, "kernels", "lock")
    lock = json.loads(Path("bpfcompat.yaml.lock").read_text())
    row = lock["profiles"]["common"]
    row["version"] = row["version"].replace("6.1.0-", "6.1.0-1")
    row["image_sha256"] = "0" * 64
    Path("bpfcompat.yaml.lock").write_text(json.dumps(lock))
    printed = said(capsys, "run", "--profile", "common", code=1)
    assert "is locked to linux-image-6.1.0-1" in printed
    assert f"There is {project.version} now." in printed
    assert "bpfcompat kernels update common" in printed


def test_a_lock_that_does_not_fit_the_matrix_is_one_sentence_before_any_boot(project, capsys):
    said(capsys, "kernels", "lock")
    text = Path("bpfcompat.yaml").read_text()
    Path("bpfcompat.yaml").write_text(
        text.replace("apt:bookworm/linux-image-cloud-amd64", "apt:bookworm/linux-image-amd64")
    )
    assert main(["run"]) == 1
    assert "bpfcompat.yaml.lock locks common to apt:bookworm/linux-image-cloud-amd64" in capsys.readouterr().err
    Path("bpfcompat.yaml.lock").write_text("{")
    assert main(["run"]) == 1
    assert "is not a lock file, or is damaged" in capsys.readouterr().err


def test_a_kernel_is_shown_with_its_facts(project, capsys):
    said(capsys, "kernels", "fetch")
    shown = said(capsys, "kernels", "show", "common")
    for words in (
        project.release,
        "BTF                   yes",
        "BPF JIT",
        "landlock,lockdown",
        f"sha256:{project.image_sha256}",
    ):
        assert words in shown
    for line in ("active LSMs           lockdown,", "BPF memory            charged to the cgroup", "not lirc_mode2"):
        assert line in shown
    assert "unknown: its configuration did not come with it" in said(capsys, "kernels", "show", "mine")


def test_what_a_kernel_can_do_is_asked_of_it_once(project, capsys, monkeypatch):
    said(capsys, "kernels", "fetch", "common")
    (first,) = json.loads(said(capsys, "kernels", "show", "common", "--json"))
    assert first["probed"]["map_types"]["have_ringbuf_map_type"] is True
    assert "bpf_loop" in first["probed"]["helpers"]["tracepoint_available_helpers"]
    assert first["probed"]["bpf_jit_enable"] == "1"
    monkeypatch.setattr("bpfcompat.workflow.probing.boot", lambda *_: pytest.fail("it was booted again"))
    assert json.loads(said(capsys, "kernels", "show", "common", "--json")) == [first]


def test_what_a_suite_has_and_a_matrix_of_the_newest(capsys, tmp_path):
    listed = said(capsys, "kernels", "list", "--available", "apt:trixie-backports")
    assert "without modules" in listed
    target = tmp_path / "sweep.yaml"
    said(capsys, "kernels", "sweep", "--from", "apt:trixie-backports", "--count", "3", "--out", str(target))
    swept = document.read(target)
    schema.check(swept, "matrix")
    rows = swept.value["profiles"]
    assert len(rows) == 3
    for row in rows:
        package = row["kernel"].partition("/")[2].partition("=")[0]
        (line,) = [line for line in listed.splitlines() if f" {package} " in line]
        assert "without modules" not in line
    assert main(["kernels", "list", "--available", "apt:nowhere"]) == 1
    assert main(["kernels", "sweep", "--from", "apt:trixie", "--series", "2.4"]) == 1


def test_an_exact_version_and_one_that_is_gone(profiles, tmp_path):
    known = kernels.fetch(profiles["debian-12-6.1"], host.cache_folder())
    package, _, version = known.version.partition(" ")
    exact = Profile("x", f"apt:bookworm/{package}={version}")
    assert kernels.newest(exact, host.cache_folder()) == known.version
    with pytest.raises(Exception, match=rf"bookworm has {package} 0.1 no more, but {version}"):
        kernels.newest(Profile("x", f"apt:bookworm/{package}=0.1"), host.cache_folder())

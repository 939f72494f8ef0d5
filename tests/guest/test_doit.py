"""The main way in: plain doit in a repo of one's own, and the command line beside it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bpfcompat.project import schema

from .conftest import machines_of

TOOLS = Path(sys.executable).parent
MATRIX = """\
matrix:
  - {id: old, kernel: apt:bullseye/linux-image-cloud-amd64}
  - {id: common, kernel: apt:bookworm/linux-image-cloud-amd64}
  - {id: new, kernel: apt:trixie-backports/linux-image-cloud-amd64}
"""
LOADER = "#!/bin/bash\necho loader 1\nuname -r\n"


@pytest.fixture
def repo(tmp_path):
    """A fresh repo, as a newcomer makes it."""
    call(tmp_path, "bpfcompat", "init", expect=0)
    (tmp_path / "loader").write_text(LOADER)
    project(tmp_path)
    return tmp_path


def project(folder, command="$BPFCOMPAT_BIN", matrix=MATRIX, more=""):
    (folder / "bpfcompat.yaml").write_text(f"command: {command}\nbinary: loader\n{more}{matrix}")


def call(folder, program, *arguments, expect, **environment):
    path = f"{TOOLS}:{os.environ['PATH']}"
    done = subprocess.run(
        [TOOLS / program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PATH": path, **environment},
    )
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def booted(folder):
    """Which profiles the last run really ran, by its report."""
    report = json.loads((folder / ".bpfcompat" / "report.json").read_text())
    assert schema.problems(report, "report") == []
    return [target["profile_id"] for target in report["targets"] if not target["cached"]]


def test_only_what_changed_runs_again(repo):
    said = call(repo, "doit", expect=0)
    assert "3 passed (3 run, 0 cached)" in said
    assert booted(repo) == ["old", "common", "new"]

    said = call(repo, "doit", expect=0)
    assert "nothing booted" in said
    assert "-- kernel:old" in said

    (repo / "loader").touch()
    call(repo, "doit", expect=0)
    assert booted(repo) == []

    (repo / "loader").write_text(LOADER.replace("1", "2"))
    call(repo, "doit", expect=0)
    assert booted(repo) == ["old", "common", "new"]

    (repo / "loader").write_text(LOADER)
    call(repo, "doit", expect=0)
    assert booted(repo) == []

    project(repo, matrix=MATRIX.replace("{id: common,", "{id: common, memory: 640M,"))
    call(repo, "doit", expect=0)
    assert booted(repo) == ["common"]


def test_failures_are_stored_too_and_one_kernel_can_be_asked_for(repo):
    project(repo, command="'uname -r | grep -qv ^5; exit $?'")
    said = call(repo, "doit", "-n", "2", expect=1)
    assert "Command exited 1 (expected 0) on this kernel." in said
    call(repo, "doit", expect=1)
    assert booted(repo) == []
    call(repo, "doit", "run", "kernel:new", expect=0)
    assert "old  fail" in call(repo, "doit", "run", "kernel:old", expect=1)
    listed = call(repo, "doit", "list", "--all", "--status", expect=0)
    assert "U kernel:new" in listed
    call(repo, "doit", "clean", "kernel:new", expect=0)
    assert "R kernel:new" in call(repo, "doit", "list", "--all", "--status", expect=0)
    call(repo, "doit", "clean", expect=0)
    assert "R kernel:old" in call(repo, "doit", "list", "--all", "--status", expect=0)


def test_a_mistake_is_a_sentence_and_doit_could_not_start(repo):
    project(repo, more="timeuot: 3s\n")
    done = subprocess.run([TOOLS / "doit"], cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "bpfcompat.yaml:3: unknown key 'timeuot'" in done.stderr
    assert "did you mean 'timeout'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_binary_boots_nothing(repo):
    (repo / "loader").unlink()
    done = subprocess.run([TOOLS / "doit"], cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "does not exist" in done.stdout + done.stderr
    assert not (repo / ".bpfcompat" / "evidence").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["test-command", "--cmd", "$BPFCOMPAT_BIN; exit 7", "--bin", "loader", "--expect-exit", "7"],
        ["test", "--command", "$BPFCOMPAT_BIN; exit 7", "--command-binary", "loader", "--command-expect-exit", "7"],
    ],
)
def test_both_front_ends(repo, arguments):
    (repo / "m.yaml").write_text(MATRIX.replace("matrix:", "profiles:"))
    common = ["--matrix", "m.yaml", "--profile", "old", "--profile", "n*", "--out", "r.json", "--artifact-name", "mine"]
    said = call(repo, "bpfcompat", *arguments, *common, expect=0)
    assert "2 passed" in said
    report = json.loads((repo / "r.json").read_text())
    assert schema.problems(report, "report") == []
    assert [target["profile_id"] for target in report["targets"]] == ["old", "new"]
    assert report["command"]["expected_exit_code"] == 7
    assert report["artifact"]["path"] == "command://loader"
    assert report["targets"][0]["functional"]["tests"][0]["exit_code"] == 7
    assert report["targets"][0]["host"]["kernel"].startswith("5.10.")
    call(
        repo,
        "bpfcompat",
        *arguments,
        *common,
        "--expect-exit" if "--cmd" in arguments else "--command-expect-exit",
        "8",
        expect=2,
    )


def test_exit_codes_for_ci(repo):
    project(repo, command="exit 3")
    call(repo, "bpfcompat", "run", "--profile", "common", expect=2)
    one = "matrix: [{id: a, kernel: 'apt:bookworm/linux-image-cloud-amd64', required: false}, {id: b, kernel: 'path:none'}]\n"
    project(repo, command="exit 3", matrix=one)
    said = call(repo, "bpfcompat", "run", expect=1)
    assert "KERNEL_UNAVAILABLE" in said
    assert "a is optional" in said


def test_the_disks_of_a_run_can_be_kept(repo):
    project(repo)
    call(repo, "bpfcompat", "run", "--profile", "common", "--keep", expect=0)
    call(repo, "bpfcompat", "run", "--profile", "common", "--force", expect=0)
    assert len(list((repo / ".bpfcompat" / "tmp").glob("*/payload-0/payload.disk"))) == 1


def test_a_kernel_of_ones_own(repo, profiles):
    from bpfcompat import kernels
    from bpfcompat.system import host

    kernel = kernels.pinned(profiles["debian-12-6.1"], host.cache_folder()) or kernels.fetch(
        profiles["debian-12-6.1"], host.cache_folder()
    )
    shutil.copy(kernel.image, repo / "bzImage")
    (repo / "modules").mkdir()
    for module in kernel.modules:
        shutil.copy(module, repo / "modules" / module.name.partition("-")[2])
    project(repo, matrix="matrix: [{id: mine, kernel: 'path:bzImage', modules: modules}]\n")
    assert "1 passed" in call(repo, "doit", expect=0)
    call(repo, "doit", expect=0)
    assert booted(repo) == []
    with (repo / "bzImage").open("r+b") as image:
        image.truncate(1000)
    assert "infra_error" in call(repo, "doit", expect=2)


def test_without_qemu_it_says_what_to_install(repo):
    """PATH without QEMU: one sentence, before any kernel is fetched."""
    path = repo / "bin"
    path.mkdir()
    for name in ("mke2fs", "setpriv"):
        found = shutil.which(name, path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
        assert found
        (path / name).symlink_to(found)
    done = subprocess.run(
        [TOOLS / "bpfcompat", "run"],
        cwd=repo,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(path), "BPFCOMPAT_CACHE": str(repo / "c")},
    )
    assert done.returncode == 1
    assert "apt-get install qemu-system-x86" in done.stderr


def test_an_interrupted_run_reports_what_it_knows_and_leaves_nothing(repo):
    import signal

    project(repo, command="sleep 300")
    with subprocess.Popen(
        [TOOLS / "bpfcompat", "run", "--out", "r.json"],
        cwd=repo,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while not list((repo / ".bpfcompat").glob("evidence/*/*/console.log")):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    report = json.loads((repo / "r.json").read_text())
    assert schema.problems(report, "report") == []
    assert {target["classification_code"] for target in report["targets"]} == {"INTERRUPTED"}
    assert list((repo / ".bpfcompat" / "tmp").iterdir()) == []
    assert machines_of(repo) == []


def test_two_runs_at_once_do_the_work_once(repo):
    command = [TOOLS / "bpfcompat", "run", "--profile", "common"]
    both = [
        subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("(1 run, 0 cached)" in text for text in said) == [False, True]


def test_a_run_of_stored_verdicts_loads_and_reads_nothing_of_the_boot(repo):
    """No library that only a boot or a first look at a file needs, and no byte of a kernel, an archive or a boot image.

    The guest's own three programs are hashed: a distribution's update may have changed them.
    """
    call(repo, "bpfcompat", "run", "--profile", "common", expect=0)
    call(repo, "bpfcompat", "run", "--profile", "common", expect=0)
    code = (
        "import sys, bpfcompat.cli as cli; opened = [];"
        "sys.addaudithook(lambda name, arguments: opened.append(str(arguments[0])) if name == 'open' else None);"
        "assert cli.main(['run', '--profile', 'common']) == 0;"
        "print([n for n in ('pexpect', 'elftools', 'jsonschema', 'bpfcompat.runner', 'bpfcompat.machine') if n in sys.modules]);"
        "print([p for p in opened if p.endswith(('/image', '.cpio', '/ram', '/state', '.ko'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["[]", "[]"]

"""However a run ends, nothing of it is left, what it found out is kept, and the exit code says how it was."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from bpfcompat.cli.init import DODO
from bpfcompat.project import schema
from bpfcompat.system import host
from bpfcompat.vm import bootimage
from tests.parts import KIT

from .conftest import machines_of

TOOL = (sys.executable, "-m", "bpfcompat")
KERNEL = "matrix: [{id: a, kernel: 'apt:bookworm/linux-image-cloud-amd64'}"


@pytest.fixture
def project(tmp_path):
    def write(command, more="]", **keys):
        lines = [f"{name}: {value}" for name, value in {"command": json.dumps(command), **keys}.items()]
        (tmp_path / "bpfcompat.yaml").write_text("\n".join([*lines, KERNEL + more]) + "\n")
        return tmp_path

    return write


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def nothing_is_left(folder):
    wait_until(lambda: not machines_of(folder), 2)
    assert list((folder / ".bpfcompat" / "tmp").iterdir()) == []
    assert list((folder / ".bpfcompat" / "locks").iterdir()) == []


@pytest.mark.parametrize("program", [(*TOOL, "run"), (sys.executable, "-m", "doit")], ids=["bpfcompat", "doit"])
@pytest.mark.parametrize(
    "signals",
    [
        [signal.SIGINT],
        [signal.SIGINT, signal.SIGINT],
        [signal.SIGTERM],
        [signal.SIGHUP],
        [signal.SIGTERM, signal.SIGINT],
    ],
)
def test_a_signal_ends_the_run_with_130_and_a_report_of_what_is_known(project, signals, program):
    folder = project("uname -r | grep -q ^6 || sleep 300", ", {id: b, kernel: 'apt:bullseye/linux-image-cloud-amd64'}]")
    (folder / "dodo.py").write_text(DODO)
    child = subprocess.Popen(program, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list((folder / ".bpfcompat").glob("verdicts/*/*.json")) and machines_of(folder))
    for number in signals:
        child.send_signal(number)
    said, errors = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in errors
    report = json.loads((folder / ".bpfcompat" / "report.json").read_text())
    assert schema.problems(report, "report") == []
    assert [target.get("classification_code") for target in report["targets"]] == [None, "INTERRUPTED"]
    assert "a  " in said
    nothing_is_left(folder)


@pytest.mark.slow
def test_a_hundred_kills_at_random_moments_leave_nothing_and_store_nothing_wrong(project):
    folder = project("echo alive; exit 3", ", {id: b, kernel: 'apt:bullseye/linux-image-cloud-amd64'}]")
    subprocess.run([*TOOL, "run"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    dice = random.Random(1)
    for _ in range(100):
        child = subprocess.Popen(
            [*TOOL, "run", "--force"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            child.wait(dice.uniform(0.05, 0.7))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        wait_until(lambda: not machines_of(folder), 2)
    last = subprocess.run([*TOOL, "run"], cwd=folder, capture_output=True, text=True, check=False)
    assert last.returncode == 2
    assert "Command exited 3" in last.stdout
    subprocess.run([*TOOL, "run", "--force"], cwd=folder, capture_output=True, text=True, check=False)
    nothing_is_left(folder)
    assert all(bootimage.is_whole(kept.path) for kept in bootimage.kept(host.cache_folder()))
    for path in (folder / ".bpfcompat").glob("verdicts/*/*.json"):
        assert json.loads(path.read_text())["verdict"]["exit_code"] == 3


def in_namespace(script, cwd, **environment):
    """Run a script where mounts are its own."""
    words = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounts need root or user namespaces; CI has the first")
    environment = {**os.environ, "TOOL": " ".join(TOOL), **environment}
    return subprocess.run(
        [*words, "sh", "-c", script], cwd=cwd, capture_output=True, text=True, env=environment, timeout=120, check=False
    )


@pytest.mark.parametrize("kilobytes", [16, 100, 700, 1500])
def test_a_full_disk_is_no_verdict_and_no_traceback(project, kilobytes):
    folder = project("head -c 600000 /dev/zero; head -c 600000 /dev/zero >&2; exit 3", binary="loader")
    shutil.copy(KIT.bash, folder / "loader")
    script = (
        f"mkdir .bpfcompat && mount -t tmpfs -o size={kilobytes}k none .bpfcompat && $TOOL run --out /proc/self/fd/1"
    )
    done = in_namespace(script.replace(" --out /proc/self/fd/1", ""), folder)
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode == 1
    assert "No space left on device" in done.stderr + done.stdout or "cannot be staged" in done.stdout
    assert not machines_of(folder)


@pytest.mark.slow
def test_a_cache_without_room_for_a_boot_image_boots_cold_and_says_so(project):
    folder = project("exit 3")
    cache = folder / "cache"
    script = (
        f"mkdir cache && mount -t tmpfs -o size=$(($(du -sm {host.cache_folder()} | cut -f1) + 25))m none cache"
        f" && for part in kernels pins initramfs tools accelerator.json; do"
        f" cp -r {host.cache_folder()}/$part cache/ 2>/dev/null; done; ln -s {KIT.folder.parent} cache/kit; $TOOL run"
    )
    (folder / "warm").mkdir()
    only = host.cache_folder()
    assert only.is_dir()
    done = in_namespace(_only_one_kernel(script, folder), folder, BPFCOMPAT_CACHE=str(cache))
    assert done.returncode == 2, done.stderr + done.stdout
    assert "Command exited 3" in done.stdout
    assert "has no boot image" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_cache_without_room_for_a_kernel_is_one_sentence(project):
    folder = project("exit 3")
    script = f"mkdir cache && mount -t tmpfs -o size=60m none cache && ln -s {KIT.folder.parent} cache/kit && $TOOL run"
    done = in_namespace(script, folder, BPFCOMPAT_CACHE=str(folder / "cache"))
    assert done.returncode == 1, done.stderr + done.stdout
    # apt 3.0 (Debian 13) does not say it, and tells of a file that the mirror does not have.
    assert re.search(
        r"No space left on device|There may be no room for it: \d+ MiB are free", done.stdout + done.stderr
    )
    assert "Traceback" not in done.stdout + done.stderr


def _only_one_kernel(script, folder):
    """Fill a cache with what one kernel needs, outside, so that it can be copied in."""
    small = folder / "small"
    small.mkdir()
    (small / "kit").symlink_to(KIT.folder.parent)
    subprocess.run(
        [*TOOL, "run", "--cold"],
        cwd=folder,
        env={**os.environ, "BPFCOMPAT_CACHE": str(small)},
        capture_output=True,
        check=False,
    )
    shutil.rmtree(folder / ".bpfcompat")
    shutil.rmtree(small / "apt")
    return script.replace(str(host.cache_folder()), str(small))


def test_a_read_only_cache_is_used_as_it_is(project):
    folder = project("exit 3")
    subprocess.run([*TOOL, "run"], cwd=folder, capture_output=True, check=False)
    cache = host.cache_folder()
    script = f"mount --bind {cache} {cache} && mount -o remount,ro,bind {cache} && $TOOL run --force"
    done = in_namespace(script, folder)
    assert done.returncode == 2, done.stderr + done.stdout
    assert "Command exited 3" in done.stdout
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr


def test_a_qemu_that_exits_at_once_is_told_in_its_own_words(project):
    folder = project("exit 3")
    path = folder / "bin"
    path.mkdir()
    fake = path / "qemu-system-x86_64"
    fake.write_text(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'QEMU emulator version 9.9' && exit\necho boom: no such board >&2\nexit 1\n"
    )
    fake.chmod(0o755)
    done = subprocess.run(
        [*TOOL, "run"], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "HOST_FAILURE" in done.stdout
    assert "boom: no such board" in done.stdout
    assert "Traceback" not in done.stderr
    nothing_is_left(folder)


def test_a_loader_that_can_run_nowhere_is_a_class_of_its_own_and_boots_nothing(project):
    folder = project("$BPFCOMPAT_BIN", ", {id: b, kernel: 'apt:bullseye/linux-image-cloud-amd64'}]", binary="loader")
    shutil.copy("/bin/ls", folder / "loader")
    done = subprocess.run([*TOOL, "run"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.count("--bundle-libs") == 1
    report = json.loads((folder / ".bpfcompat" / "report.json").read_text())
    assert schema.problems(report, "report") == []
    for target in report["targets"]:
        assert (target["status"], target["classification_code"]) == ("infra_error", "LOADER_NOT_RUNNABLE")
    assert not list((folder / ".bpfcompat").glob("evidence/*"))


def test_a_dynamic_loader_runs_with_its_libraries(project):
    """Libraries of the system, one that only this project has, and one that is found by the loader's own run path."""
    folder = project(
        "$BPFCOMPAT_BIN",
        ", {id: b, kernel: 'apt:bullseye/linux-image-cloud-amd64'}]",
        binary="build/loader",
        bundle_libs="true",
    )
    (folder / "build").mkdir()
    (folder / "build" / "own.c").write_text(
        "#include <zlib.h>\nint own(void) { return zlibVersion()[0] == '1' ? 7 : 1; }\n"
    )
    (folder / "build" / "main.c").write_text("int own(void);\nint main(void) { return own() == 7 ? 0 : 1; }\n")
    for command in (
        "gcc -shared -fPIC -o libown.so own.c -lz",
        "gcc -o loader main.c -L. -lown -Wl,-rpath,$ORIGIN",
    ):
        subprocess.run(command.split(), cwd=folder / "build", check=True)
    done = subprocess.run([*TOOL, "run"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_no_verdict_is_tried_again_as_often_as_asked_and_failures_are_not(project):
    folder = project("exit 3", retries=2)
    done = subprocess.run(
        [*TOOL, "run", "--cold", "--boot-timeout", "100ms"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (target,) = json.loads((folder / ".bpfcompat" / "report.json").read_text())["targets"]
    assert sum("run again" in note for note in target["notes"]) >= 1
    assert len(list((folder / ".bpfcompat").glob("evidence/*/*/try-*"))) == 2
    done = subprocess.run([*TOOL, "run"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (target,) = json.loads((folder / ".bpfcompat" / "report.json").read_text())["targets"]
    assert target["notes"] == []


def test_a_known_failure_is_an_xfail_and_its_absence_is_pointed_out(project):
    folder = project(
        "uname -r | grep -q ^6", ", {id: b, kernel: 'apt:bullseye/linux-image-cloud-amd64', expect: fail}]"
    )
    done = subprocess.run([*TOOL, "run", "--markdown", "s.md"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "1 passed, 1 failed as expected" in done.stdout
    assert "☑️ xfail" in (folder / "s.md").read_text()
    project("true", ", {id: b, kernel: 'apt:bullseye/linux-image-cloud-amd64', expect: fail}]")
    done = subprocess.run([*TOOL, "run"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "remove its `expect: fail`" in done.stdout
    report = json.loads((folder / ".bpfcompat" / "report.json").read_text())
    assert schema.problems(report, "report") == []
    assert [target.get("expected") for target in report["targets"]] == [None, "fail"]

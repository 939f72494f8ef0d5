"""examples/go and examples/rust: their own tests, started by go and cargo as their users start them, on real kernels."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bpfcompat.project import matrix

EXAMPLES = Path(__file__).parents[2] / "examples"
KERNELS = {profile.id: profile.kernel for profile in matrix.load("mvp", Path()).profiles}
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="this machine has no Go; CI's has")
needs_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="this machine has no cargo; CI's has")


def copied(name, folder):
    return shutil.copytree(EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("target"))


def ran(*command, cwd, kernel, **env):
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "BPFCOMPAT_KERNEL": KERNELS[kernel], **env},
    )  # fmt: skip


@needs_go
@pytest.mark.parametrize("kernel", ["debian-11-5.10", "debian-13-backports"])
def test_go_test_says_what_it_says_and_ends_as_it_ends(tmp_path, kernel):
    folder = copied("go", tmp_path)
    command = ("go", "test", "-count=1", "-exec", "bpfcompat exec --", "./...")
    passed = ran(*command, cwd=folder, kernel=kernel, CGO_ENABLED="0")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    lines = [line.split("\t")[:2] for line in passed.stdout.splitlines()]
    assert lines == [["ok  ", "bpfcompat.example/go/counter"], ["ok  ", "bpfcompat.example/go/events"]]
    source = folder / "counter" / "counter_test.go"
    source.write_text(source.read_text().replace("hits < 100", "hits > 0"))
    failed = ran(*command, cwd=folder, kernel=kernel, CGO_ENABLED="0")
    assert failed.returncode == 1
    assert "--- FAIL: TestEveryHitIsCounted" in failed.stdout
    assert re.search(r"counter_test.go:\d+: \d+ hits \(<nil>\), want 100 or more", failed.stdout)


@pytest.mark.slow
@needs_cargo
def test_cargo_test_runs_in_the_guest(tmp_path):
    folder = copied("rust", tmp_path)
    passed = ran("cargo", "test", "--quiet", cwd=folder, kernel="debian-12-6.1")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "2 passed; 0 failed" in passed.stdout
    source = folder / "src" / "lib.rs"
    source.write_text(source.read_text().replace("process::id()).unwrap(), 100)", "process::id()).unwrap(), 1)"))
    failed = ran("cargo", "test", "--quiet", cwd=folder, kernel="debian-12-6.1")
    assert failed.returncode == 101
    assert "left: 100" in failed.stdout

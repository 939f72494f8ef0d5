"""KVM, tried where there is none: QEMU emulates a processor with AMD's virtualisation, a full Debian kernel in it has a
/dev/kvm, and this tool runs there with it. What it finds out must be what it finds out here under emulation.

`./dev nested` runs it: some minutes, and too long for every change.
"""

import contextlib
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import bpfcompat
from bpfcompat import architecture, kernels
from bpfcompat.guest import kit
from bpfcompat.model import Check, Matrix, Profile, Project
from bpfcompat.outcome import OutcomeKind
from bpfcompat.project import matrix
from bpfcompat.system import host
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Session
from tests.guest.conftest import machines_of
from tests.hosts import roots

CLONE = Path(__file__).parents[2]
TOOL = ("bpfcompat", "schemas", "matrices")
INNER = "debian-12-6.1"
TRIES = 4
"""QEMU's emulation of virtualisation sometimes stops for good (QEMU 7.2): the outer machine stands still or does nothing but
enter and leave the inner one, or that never comes up, and nothing is said about what would have run. A mistake of ours shows
in every attempt."""
BEAT_SECONDS, SILENCE_SECONDS = 10, 300.0
"""The outer machine prints a line in so many seconds; one that is silent for so many has stopped."""
SECONDS = 7200.0
"""Of the outer machine, however slow: one that has stopped is known by itself."""

PROJECT = """
matrix: [{id: debian-12-6.1, kernel: apt:bookworm/linux-image-cloud-amd64, memory: 256}]
accel: %s
boot: %s
timeout: 300s
checks:
  - {name: exit, command: "echo out; echo err >&2; exit 7"}
  - {name: signal, command: "kill -SEGV $$"}
  - {name: bytes, command: "head -c 400000 /dev/zero | tr '\\\\0' x; seq 20000 >&2"}
  - {name: collected, command: "seq 100000 > a; sha256sum a", collect: [a]}
  - name: clock
    command: "test $(date +%%s) -gt 1700000000 || exit 1;
      read a b < /proc/uptime; sleep 2; read c d < /proc/uptime; test ${c%%%%.*} -gt ${a%%%%.*}"
  - {name: source, command: "cat /sys/devices/system/clocksource/clocksource0/current_clocksource"}
  - {name: random, command: "head -c 16 /dev/urandom | md5sum"}
  - {name: random-too, command: "head -c 16 /dev/urandom | md5sum; true"}
  - {name: loader, command: $BPFCOMPAT_BIN, binary: loader}
  - {name: panic, command: "echo c > /proc/sysrq-trigger"}
  - {name: mute-panic, command: "echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger"}
  - {name: reboot, command: "reboot -f"}
  - {name: hang, command: "sleep 100000", timeout: 5s}
"""
KEPT = ("status", "exit_code", "signal", "stderr_bytes", "stdout_truncated", "timed_out", "core_dumped")
DIFFERS = {"source", "random", "random-too"}
"""Checks whose output is not the same twice, or not with KVM."""


@pytest.fixture(scope="session")
def root():
    """A root folder with Python, QEMU and what bpfcompat is made on, made once."""

    def complete(fresh):
        needed = [one for one in importlib.metadata.requires("bpfcompat") if "extra ==" not in one]
        needed = " ".join(f'"{one}"' for one in needed)
        with roots.entered(fresh, fresh / "tmp") as run:
            made = run(f"python3 -m venv /opt/v && /opt/v/bin/pip install --quiet {needed}")
        assert made.returncode == 0, made.stderr

    return roots.bootstrapped("nested", "bookworm", [*roots.PACKAGES, "util-linux"], complete)


def packed_cache(target):
    """Pack a cache for the tool inside: the kit, the kernel, and nothing that was made with them."""
    own = host.cache_folder()
    kernel = kernels.fetch(next(one for one in matrix.load("mvp", Path()).profiles if one.id == INNER), own)
    parts = (kit.find(own, architecture.host()).folder, kernel.modules_disk.parent, own / "pins")
    names = [part.relative_to(own) for part in parts]
    subprocess.run(["tar", "-cSf", target, "--exclude=headers.ext4", "-C", own, *names], check=True)


def results(folder):
    """What a run found out, by check, less what depends on how fast and where it ran."""
    found = {}
    for target in json.loads((folder / "report.json").read_text())["targets"]:
        (test,) = target["functional"]["tests"]
        name = target["check"]
        found[name] = {key: test.get(key) for key in KEPT}
        found[name].update(status=target["status"], code=target.get("classification_code"), boot=target["boot"])
        found[name]["collected"] = [one["sha256"] for one in target.get("collected", ())]
        if name not in DIFFERS:
            found[name].update({key: test[key] for key in ("stdout_tail", "stderr_tail", "stdout_bytes")})
    return found


def tail_of(folder, check):
    return next(
        target["functional"]["tests"][0]["stdout_tail"]
        for target in json.loads((folder / "report.json").read_text())["targets"] if target["check"] == check
    )  # fmt: skip


def here(folder, boot, loader):
    folder.mkdir()
    (folder / "bpfcompat.yaml").write_text(PROJECT % ("tcg", boot))
    shutil.copy(loader, folder / "loader")
    subprocess.run(
        [sys.executable, "-m", "bpfcompat", "run", "--offline", "--out", "report.json"],
        cwd=folder,
        check=False,
        capture_output=True,
    )
    return results(folder)


@contextlib.contextmanager
def stopped_one_ends(workdir):
    """Kill the machine of a work directory once nothing is heard of it any more."""
    over, started = threading.Event(), time.time()

    def watch():
        while not over.wait(BEAT_SECONDS):
            heard = max([started, *(log.stat().st_mtime for log in workdir.glob("evidence/*/*/stderr.log"))])
            if time.time() - heard > SILENCE_SECONDS:
                for machine in machines_of(workdir):
                    print(f"QEMU {machine} has stopped")
                    os.kill(machine, signal.SIGKILL)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def nested(folder, boot, root, loader):
    """Run the project with KVM in an emulated machine; return the folder of what came out."""
    folder.mkdir()
    packed_cache(folder / "cache.tar")
    (folder / "bpfcompat.yaml").write_text(PROJECT % ("kvm", boot))
    command = f"""
    while sleep {BEAT_SECONDS}; do echo; done >&2 &
    export PATH=/opt/v/bin:$PATH PYTHONPATH=/opt/bpfcompat BPFCOMPAT_CACHE=/opt/cache PYTHONDONTWRITEBYTECODE=1
    test -e /dev/kvm || {{ echo no /dev/kvm; exit 9; }}
    cp /bpfcompat-loader loader
    mkdir /opt/cache
    tar -xSf cache.tar -C /opt/cache
    python3 -m bpfcompat run --offline --jobs 1 --boot-timeout 300s --timeout 900s --out report.json
    code=$?
    cp /opt/cache/*.json . ; exit $code"""
    check = Check(
        command, root=folder, files=(folder / "bpfcompat.yaml", folder / "cache.tar"),
        placed=(*((CLONE / name, f"/opt/bpfcompat/{name}") for name in TOOL), (loader, "/bpfcompat-loader")),
        timeout=SECONDS, collect=("*.json", ".bpfcompat/evidence/**"), guest_modules=("kvm_amd",),
    )  # fmt: skip
    profile = Profile("outer", "apt:bookworm/linux-image-amd64", memory=4096)
    project = Project((check,), Matrix((profile,)), folder / ".bpfcompat", boot="cold", accelerator="tcg", rootfs=root)
    for attempt in range(1, TRIES + 1):
        with (
            stopped_one_ends(project.workdir),
            contextlib.closing(Session(project, bpfcompat.Options(force=True, total_seconds=SECONDS + 200))) as session,
        ):
            record = engine.run(session).targets[0].record
        evidence = project.workdir / record.evidence
        if (evidence / "collected" / "report.json").exists():
            break
        shown = (evidence / "stdout.log").read_text() + (evidence / "stderr.log").read_text()
        print(f"attempt {attempt} came to no end: {record.outcome.reason or record.verdict.reason}\n{shown}")
    else:
        pytest.fail(f"{TRIES} attempts came to no end")
    assert record.outcome.kind is OutcomeKind.ENDED, record.outcome.reason
    return evidence / "collected"


@pytest.mark.long
@pytest.mark.timeout(0)  # the outer machine has a limit of its own
@pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap and chroot need root; CI is root")
@pytest.mark.parametrize("boot", ["warm", "cold"])
def test_kvm_tells_what_emulation_tells(tmp_path, root, boot):
    subprocess.run(["make", "-s", "-C", CLONE / "examples/ringbuf"], check=True)
    loader = CLONE / "examples/ringbuf/build/loader"
    folder = nested(tmp_path / "nested", boot, root, loader)
    assert json.loads((folder / "report.json").read_text())["tool"]["accelerator"] == "kvm"
    assert tail_of(folder, "source") == "kvm-clock"
    assert tail_of(folder, "random") != tail_of(folder, "random-too")
    assert results(folder) == here(tmp_path / "here", boot, loader)

"""The probe: a /dev/kvm that opens proves nothing, and whatever goes wrong ends in software emulation within seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import PROTOCOL
from bpfcompat.model import Matrix, Project
from bpfcompat.project import matrix
from bpfcompat.system import host
from bpfcompat.vm import accelerator
from bpfcompat.vm.accelerator import Accelerator, Speeds
from bpfcompat.vm.qemu import Machine
from bpfcompat.workflow.machines import Machines

KERNEL = "debian-12-6.1"


@pytest.fixture
def machine(verdicts, tmp_path):
    verdicts("true")  # so that its parts are there
    profiles = tuple(profile for profile in matrix.load("mvp", Path()).profiles if profile.id == KERNEL)
    project = Project((), Matrix(profiles), tmp_path, accelerator="tcg")
    return Machines(project, host.cache_folder(), offline=True).machine(profiles[0])


def with_binary(machine, tmp_path, script):
    path = tmp_path / "qemu"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Machine(**{**vars(machine), "binary": str(path)})


def probed(machine, cache):
    found = accelerator.probe(machine, "auto", cache)
    assert found.name == ("tcg" if found.reason else "kvm")
    memo = cache / "accelerator.json"
    assert not memo.exists() or json.loads(memo.read_text())["name"] == found.name
    return found


def test_the_probe_finds_out_by_a_boot_and_is_remembered(machine, tmp_path):
    """On a machine with a broken /dev/kvm this is where QEMU aborts."""
    found = probed(machine, tmp_path)
    if "boots in" in found.reason:
        assert accelerator.known("auto", tmp_path) is None  # that it was slow says nothing about the next time
    else:
        assert accelerator.known("auto", tmp_path) in (found, Accelerator("tcg", "there is no /dev/kvm"))


@pytest.mark.parametrize("model", ["qemu64", "Nehalem"])
def test_other_processor_models_end_in_an_answer_too(machine, tmp_path, model):
    """On a machine with a broken /dev/kvm this is where QEMU hangs."""
    binary = with_binary(
        machine,
        tmp_path,
        f'for a; do shift; [ "$a" = max ] && a={model}; set -- "$@" "$a"; done; exec {machine.binary} "$@"',
    )
    probed(binary, tmp_path)


@pytest.mark.parametrize(("script", "reason"), [
    ("exec sleep 100", "did not come up in time"),
    ("echo no such thing >&2; exit 3", "no such thing"),
    ("kill -ABRT $$", "status -6"),
])  # fmt: skip
def test_a_qemu_that_hangs_fails_or_aborts_means_emulation(machine, tmp_path, script, reason):
    found = probed(with_binary(machine, tmp_path, script), tmp_path)
    assert found.name == "tcg"
    assert reason in found.reason


TALKING = """
import re, sys, time, zlib
words = " ".join(sys.argv)
port = {{name: open(int(re.search(f"id={{name}},fd=([0-9]+)", words)[1]), "wb", buffering=0) for name in ("console", "control")}}
for _ in range({times}):
    port["console"].write(b"booting")
    time.sleep(0.3)
body = b"BPFCOMPAT\\t{protocol}\\tREADY\\t0\\tx"
port["control"].write(body + b"\\t%08x\\n" % zlib.crc32(body))
time.sleep(100)
"""
"""What is asked of QEMU in place of a slow guest, since no real one is slow by the same measure everywhere."""


def talking(machine, tmp_path, times):
    (tmp_path / "talking.py").write_text(TALKING.format(times=times, protocol=PROTOCOL))
    return with_binary(machine, tmp_path, f'exec {sys.executable} {tmp_path}/talking.py "$@"')


@pytest.mark.slow
def test_a_guest_that_talks_has_time_and_is_measured(machine, tmp_path):
    """Twice as slow as its silence may last, it comes up all the same."""
    found = accelerator.measure(talking(machine, tmp_path, 18), compare=True)
    assert (found.failure, found.slow) == ("", False)
    assert found.kvm > 2 * accelerator.SILENCE_SECONDS
    assert found.tcg > 2 * accelerator.SILENCE_SECONDS  # that way it was booted, too


@pytest.mark.slow
def test_a_guest_that_is_never_done_talking_is_slow_and_not_remembered(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "BOOT_SECONDS", 4.0)
    found = accelerator.measure(talking(machine, tmp_path, 1000), compare=True)
    assert (found.kvm, found.slow) == (None, True)
    accelerator.remember(found, tmp_path)
    assert not (tmp_path / "accelerator.json").exists()


@pytest.mark.parametrize(
    ("speeds", "name", "kept"),
    [
        (Speeds(0.4, None), "kvm", True),
        (Speeds(3.0, 5.0), "kvm", True),
        (Speeds(5.0, 3.0), "tcg", False),
        (Speeds(None, None, "it aborts"), "tcg", True),
        (Speeds(None, 3.0, "not in time", slow=True), "tcg", False),
    ],
)
def test_the_faster_one_is_taken_and_slowness_is_not_remembered(tmp_path, speeds, name, kept):
    assert speeds.chosen.name == name
    accelerator.remember(speeds, tmp_path)
    assert (tmp_path / "accelerator.json").exists() is kept


def test_what_fails_is_remembered_until_the_next_boot_of_this_host(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "is_there", lambda: True)
    found = probed(with_binary(machine, tmp_path, "exit 1"), tmp_path)
    assert accelerator.known("auto", tmp_path) == found
    monkeypatch.setattr(host, "boot_id", lambda: "another")
    assert accelerator.known("auto", tmp_path) is None


def test_what_is_demanded_in_vain_is_an_error(machine, tmp_path, monkeypatch):
    with pytest.raises(BpfcompatError, match="`accel: kvm` is demanded, but KVM does not work here"):
        accelerator.probe(with_binary(machine, tmp_path, "exit 1"), "kvm", tmp_path)
    assert accelerator.known("kvm", tmp_path) is None, "it may have been mended since, so it is probed again"
    monkeypatch.setattr(accelerator, "DEVICE", tmp_path / "kvm")
    with pytest.raises(BpfcompatError, match="there is no "):
        accelerator.known("kvm", tmp_path)
    assert accelerator.known("auto", tmp_path).name == "tcg"
    assert accelerator.known("tcg", tmp_path).name == "tcg"


def test_a_project_that_demands_kvm_gets_it_or_one_sentence(tmp_path):
    (tmp_path / "bpfcompat.yaml").write_text("command: 'true'\nmatrix: quick\naccel: kvm\n")
    result = subprocess.run(
        [sys.executable, "-m", "bpfcompat", "run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if result.returncode:
        assert result.returncode == 1
        assert result.stderr.startswith("bpfcompat: `accel: kvm` is demanded, but KVM does not work here: ")
        assert "Traceback" not in result.stderr
        assert not result.stdout
    else:
        report = json.loads((tmp_path / ".bpfcompat" / "report.json").read_text())
        assert report["tool"]["accelerator"] == "kvm"

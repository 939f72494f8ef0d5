"""The probe: a /dev/kvm that opens proves nothing, and whatever goes wrong ends in software emulation within seconds."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Matrix, Project
from bpfcompat.project import matrix
from bpfcompat.system import host
from bpfcompat.vm import accelerator
from bpfcompat.vm.accelerator import Accelerator
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
    started = time.monotonic()
    found = accelerator.probe(machine, "auto", cache)
    assert time.monotonic() - started < 5, "the probe itself has 2.5 s"
    assert found.name == ("tcg" if found.reason else "kvm")
    assert json.loads((cache / "accelerator.json").read_text())["name"] == found.name
    return found


def test_the_probe_finds_out_by_a_boot_and_is_remembered(machine, tmp_path):
    """On a machine with a broken /dev/kvm this is where QEMU aborts."""
    found = probed(machine, tmp_path)
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

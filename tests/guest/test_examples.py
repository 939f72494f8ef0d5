"""What the guests have beside the command's own files, and the examples that use it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bpfcompat.guest import kit, libraries
from bpfcompat.outcome import Status
from tests.parts import KIT

from .conftest import KERNELS

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_xdp_on_a_veth_pair(verdicts, tmp_path):
    shutil.copytree(EXAMPLES / "xdp", tmp_path / "xdp", ignore=shutil.ignore_patterns("build", ".bpfcompat"))
    subprocess.run(["make", "-s"], cwd=tmp_path / "xdp", check=True, capture_output=True)
    command = (
        "set -e; ip link add name receiver type veth peer name sender; ip link set receiver up; ip link set sender up;"
        " $BPFCOMPAT_BIN receiver sender"
    )
    for record in verdicts(command, kernels=KERNELS, binary=tmp_path / "xdp" / "build" / "loader"):
        assert record.verdict.status is Status.PASS, (record.job, record.outcome.stderr.tail)
        assert " packets seen" in record.outcome.stdout.tail


def test_libraries_that_are_newer_than_the_kit_s_take_their_place(verdicts, tmp_path, monkeypatch):
    """A loader built where glibc is newer than Debian 12's does not start with that."""
    (tmp_path / "x.c").write_text('#include <stdio.h>\nint main(void) { return puts("dynamic") < 0; }\n')
    subprocess.run(["gcc", "-o", tmp_path / "loader", tmp_path / "x.c"], check=True)
    command = (
        "set -e; $BPFCOMPAT_BIN; ip link show lo >/dev/null; readlink /lib/x86_64-linux-gnu/libc.so.6;"
        " readlink /lib64/ld-linux-x86-64.so.2"
    )
    for version, place in (((2, 30), "/bpfcompat/payload/over/"), ((9, 99), "/bpfcompat/tools/")):
        monkeypatch.setattr(kit, "C_LIBRARY", version)
        (record,) = verdicts(command, binary=tmp_path / "loader", bundle_libs=True)
        assert record.verdict.status is Status.PASS, record.outcome
        lines = record.outcome.stdout.tail.splitlines()
        assert lines[0] == "dynamic"
        assert all(line.startswith(place) for line in lines[1:]), lines


def test_the_version_of_the_kit_s_c_library_is_known():
    assert libraries.c_library({"/lib/libc.so.6": KIT.tools / "lib/x86_64-linux-gnu/libc.so.6"}) == kit.C_LIBRARY


@pytest.mark.slow
def test_every_kernel_has_its_modules_and_the_tools(verdicts):
    command = (
        "set -e; test $(ls /lib/modules) = $(uname -r); modprobe sch_ingress; lsmod | grep -q sch_ingress;"
        " ip link add type veth; tc qdisc add dev veth0 clsact; bpftool prog list; bpftool -j feature probe kernel > f; test -s f"
    )
    for record in verdicts(command, kernels=KERNELS):
        assert record.verdict.status is Status.PASS, (record.job, record.outcome.stderr.tail)
        assert "magic" not in record.outcome.kernel_log, "no module was offered to the kernel as it was packed"


def test_programs_of_this_machine_come_with_their_libraries(verdicts, tmp_path):
    script = tmp_path / "hello"
    script.write_text("#!/bin/bash\necho hello\n")
    command = "set -e; hello; readelf --version | head -1; command -v readelf"
    tools = (Path(shutil.which("readelf")), script)
    (record,) = verdicts(command, tools=tools)
    assert record.verdict.status is Status.PASS, record.outcome.stderr.tail
    lines = record.outcome.stdout.tail.splitlines()
    assert lines[0] == "hello"
    assert lines[1].startswith("GNU readelf")
    assert lines[2] == "/usr/local/bin/readelf"

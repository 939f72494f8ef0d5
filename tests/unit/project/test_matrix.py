"""Rows of a matrix: what they may say together."""

import pytest

from bpfcompat import architecture, kernels
from bpfcompat.architecture import AMD64, ARM64
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.model import Check
from bpfcompat.project import matrix


def test_kernels_of_vendors_are_of_one_architecture(tmp_path):
    (tmp_path / "m.yaml").write_text("profiles: [{id: a, kernel: 'ubuntu:24.04', arch: arm64}]\n")
    with pytest.raises(BpfcompatError, match=r"m.yaml:1: vendors' kernels are known for amd64 only"):
        matrix.load("m.yaml", tmp_path)


def test_so_they_are_where_the_loader_or_this_machine_says_the_architecture(tmp_path, monkeypatch):
    (tmp_path / "m.yaml").write_text(
        "profiles: [{id: a, kernel: 'ubuntu:24.04'}, {id: b, kernel: 'path:x', arch: arm64}]\n"
    )
    found, loader = matrix.load("m.yaml", tmp_path), tmp_path / "loader"
    loader.write_bytes(b"\x7fELF\x02" + bytes(13) + ARM64.elf_number.to_bytes(2, "little"))
    check = Check("x", binary=loader)
    with pytest.raises(
        BpfcompatError, match=f"a says no `arch:`, and {loader} is of arm64: vendors' kernels are known for amd64 only"
    ):
        matrix.for_loaders(found, [check])
    loader.unlink()
    monkeypatch.setattr(architecture, "host", lambda: AMD64)
    assert [one.arch for one in matrix.for_loaders(found, [check]).profiles] == ["amd64", "arm64"]
    monkeypatch.setattr(architecture, "host", lambda: ARM64)
    with pytest.raises(BpfcompatError, match="and this machine is of arm64: vendors' kernels"):
        matrix.for_loaders(found, [check])
    with pytest.raises(NoVerdict, match="vendors' kernels are known for amd64 only, not for arm64"):
        kernels.fetch(found.profiles[0], tmp_path / "cache")

"""Rows of a matrix: what they may say together."""

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.project import matrix


def test_kernels_of_vendors_are_of_one_architecture(tmp_path):
    (tmp_path / "m.yaml").write_text("profiles: [{id: a, kernel: 'ubuntu:24.04', arch: arm64}]\n")
    with pytest.raises(BpfcompatError, match=r"m.yaml:1: vendors' kernels are known for amd64 only"):
        matrix.load("m.yaml", tmp_path)

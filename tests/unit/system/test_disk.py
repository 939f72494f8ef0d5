"""Images of disks: sparse files, whose holes stay holes."""

import os

import pytest

from bpfcompat.system import disk

MIB = 1 << 20


@pytest.mark.parametrize(
    "written", [{}, {0: b"first"}, {5 * MIB: b"middle", 12 * MIB: b"x" * 5000}, {16 * MIB - 3: b"end"}]
)
def test_what_an_image_holds_is_copied_and_its_holes_stay_holes(tmp_path, written):
    image, target = tmp_path / "image", tmp_path / "target"
    for path in (image, target):
        with path.open("xb") as file:
            file.truncate(16 * MIB)
    with image.open("r+b") as file:
        for at, data in written.items():
            os.pwrite(file.fileno(), data, at)
    disk.copy(image, target)
    assert target.read_bytes() == image.read_bytes()
    assert target.stat().st_blocks <= image.stat().st_blocks

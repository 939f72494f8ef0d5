"""How a check's files come into a guest: a few as an archive, many as a filesystem, without disks with the initramfs. None can tell."""

import hashlib
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat import kernels
from bpfcompat.model import Check, Matrix, Project
from bpfcompat.outcome import Status
from bpfcompat.system import host
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Session

from .conftest import KERNELS

WINDOW = 64 * 1024
"""What init reads of an archive at once (guest/init/unpack.c)."""
SCRIPT = """#!/bin/bash
cd data
find . ! -type d -exec stat -c '%n %F %a %s' {} + | sort
find . -type d -exec stat -c '%n %F %a' {} + | sort
find . -type f -exec sha256sum {} + | sort
readlink -v */link
find . -mmin -10 | wc -l
echo more >>1 && mkdir new || exit 3
for place in $BPFCOMPAT_BIN ${BPFCOMPAT_BIN%/*}/new; do echo >>$place && exit 4; done 2>/dev/null
awk '$2 == "/bpfcompat/payload" {print $3, substr($4, 1, 2)}' /proc/mounts | tail -n 1 >&2
"""


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "empty").mkdir(parents=True)
    (folder / "full").mkdir()
    (folder / "full" / "link").symlink_to("../1")
    for size in (0, 1, 2, 3, 4, 4095, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW):
        (folder / str(size)).write_bytes(hashlib.shake_128(b"%d" % size).digest(size))
    for length in (200, 201, 202, 203, 255):
        (folder / "full" / ("n" * length)).write_bytes(b"x" * length)
    (folder / "full" / "a name\nof two lines").write_bytes(b"")
    (folder / "program").write_bytes(b"#!/bin/sh\n")
    (folder / "program").chmod(0o755)
    (tmp_path / "script").write_text(SCRIPT)
    (tmp_path / "script").chmod(0o755)
    return folder


def listed(record, tmp_path):
    assert record.verdict.status is Status.PASS, (record.outcome.reason, record.outcome.stderr.tail)
    folder = tmp_path / ".bpfcompat" / record.evidence
    return (folder / "stdout.log").read_bytes(), (folder / "stderr.log").read_text().split()


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_command_finds_the_same_however_it_came(verdicts, tmp_path, data, kernel):
    brought = {"binary": tmp_path / "script", "files": (data,), "kernels": (kernel,)}
    small, how = listed(*verdicts("exec $BPFCOMPAT_BIN", **brought), tmp_path)
    assert how == ["tmpfs", "ro"]
    (tmp_path / "filler").write_bytes(bytes(3 << 20))
    brought["files"] = (data, tmp_path / "filler")
    large, how = listed(*verdicts("exec $BPFCOMPAT_BIN", **brought), tmp_path)
    assert how == ["ext4", "ro"]
    assert small == large
    for path in data.rglob("*"):
        if path.is_file() and not path.is_symlink() and "\n" not in path.name:
            name = f"./{path.relative_to(data)}"
            assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n".encode() in small
            assert f" {stat.S_IMODE(path.stat().st_mode):o} {path.stat().st_size}\n".encode() in small


@pytest.mark.parametrize("filler", [0, 3 << 20])
def test_a_kernel_without_disks_has_the_same(profiles, verdicts, tmp_path, data, filler):
    (tmp_path / "filler").write_bytes(bytes(filler))
    check = Check("exec $BPFCOMPAT_BIN", binary=tmp_path / "script", files=(data, tmp_path / "filler"), root=tmp_path)
    kernel = kernels.fetch(profiles["debian-12-6.1"], host.cache_folder())
    bare = replace(profiles["debian-12-6.1"], id="bare", kernel=f"path:{kernel.image}", root=Path("/"))
    session = Session(Project((check,), Matrix((bare, profiles["debian-12-6.1"])), tmp_path / ".bpfcompat"))
    try:
        without, with_disks = (target.record for target in engine.run(session).targets)
    finally:
        session.close()
    assert without.boot == "cold"
    assert without.verdict.exit_code == 4, "there it may be written to"
    assert (tmp_path / ".bpfcompat" / without.evidence / "stdout.log").read_bytes() == listed(with_disks, tmp_path)[0]

"""What comes out of guests: streams that are too long for a serial port, and the files that a project collects."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat import kernels
from bpfcompat.guest import STREAM_KEPT
from bpfcompat.model import Check, Matrix, Project
from bpfcompat.outcome import COLLECTED, Classification, Status
from bpfcompat.records import collected
from bpfcompat.system import host
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Session

from .conftest import KERNELS

LINES = "".join(f"{number}\n" for number in range(1, 40001)).encode()
"""What `seq 40000` prints: more than is sent live, less than is kept."""


def gathered(tmp_path, record):
    return tmp_path / ".bpfcompat" / record.evidence / COLLECTED


def test_files_come_back_exact_after_a_failure_and_from_a_stored_verdict(verdicts, tmp_path):
    names = ["cover/a b/$(x)", "cover/" + "n" * 200, "cover/ä\nö", "report.xml"]
    make = "\n".join(f"mkdir -p \"$(dirname '{name}')\"; head -c 300000 /dev/urandom > '{name}'" for name in names)
    command = f"{make}\nmkfifo cover/fifo; ln -s ../report.xml cover/link; touch other cover/empty\n"
    command += r"""find . -type f -print0 | while IFS= read -r -d '' f; do printf '%s%s\0' "$(sha256sum < "$f")" "$f"; done; exit 3"""
    for cached in (False, True):
        records = verdicts(command, kernels=KERNELS[:2], collect=("cover/**", "*.xml"))
        for record in records:
            assert (record.verdict.exit_code, record.cached) == (3, cached)
            folder = gathered(tmp_path, record)
            log = (folder.parent / "stdout.log").read_bytes().decode()
            said = {line[67:].removeprefix("./"): line[:64] for line in log.split("\0") if line}
            said["cover/link"] = said["report.xml"]
            found = {one.path: one.sha256 for one in record.outcome.collected}
            assert found == {name: digest for name, digest in said.items() if name != "other"}
            assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(found)
            assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == found[name] for name in found)
    collected.copy(tmp_path / ".bpfcompat", records[0], tmp_path / "here")
    assert (tmp_path / "here" / "report.xml").stat().st_size == 300000
    (gathered(tmp_path, records[0]) / "report.xml").unlink()
    again = verdicts(command, kernels=KERNELS[:2], collect=("cover/**", "*.xml"))
    assert [record.cached for record in again] == [False, True]  # without its files it is run again


def test_another_pattern_is_another_verdict(verdicts):
    command = "echo a > a; echo b > b"
    first, second = (verdicts(command, collect=(name,))[0] for name in "ab")
    assert [one.path for record in (first, second) for one in record.outcome.collected] == ["a", "b"]


def test_a_core_dump_is_there_where_it_is_collected(verdicts, tmp_path):
    crash = "cd /; bash -c 'kill -SEGV $$'; test $? = 139"
    records = verdicts(crash, kernels=KERNELS, collect=("core.*",))
    for record in records:
        assert record.verdict.status is Status.PASS
        (core,) = record.outcome.collected
        assert core.path.startswith("core.bash.")
        assert (gathered(tmp_path, record) / core.path).read_bytes()[:5] == b"\x7fELF\x02"
    (without,) = verdicts(f"{crash}; ls core* /core* 2>/dev/null", collect=("cover/**",))
    assert without.outcome.stdout.total == 0


def test_a_command_that_is_stopped_leaves_all_that_it_printed_and_its_files(verdicts, tmp_path):
    (record,) = verdicts("seq 40000; seq 5 >&2; echo half > half; sleep 1000", timeout=3.0, collect=("half",))
    assert record.verdict.classification is Classification.COMMAND_TIMEOUT
    assert (gathered(tmp_path, record) / "half").read_text() == "half\n"
    folder = gathered(tmp_path, record).parent
    assert (folder / "stdout.log").read_bytes() == LINES
    assert (folder / "stderr.log").read_bytes() == b"1\n2\n3\n4\n5\n"
    assert record.outcome.stdout.total == len(LINES)


def test_what_does_not_fit_is_left_out_whole_and_told(verdicts):
    command = "head -c 700000 /dev/zero > a; head -c 700000 /dev/zero > b; head -c 9 /dev/zero > c"
    (record,) = verdicts(command, collect=("?", "gone/*"), collect_limit=1)
    assert [one.path for one in record.outcome.collected] == ["a", "c"]
    assert any(note.startswith("b (700000 bytes) is not collected") for note in record.outcome.notes)
    assert "nothing matches `collect: gone/*`" in record.outcome.notes


@pytest.mark.parametrize(
    "obstacle",
    ["for d in /sys/block/vd*; do grep -qx outbox $d/serial && echo 1 > $d/device/../remove; done", "rm /dev/vd*"],
)
def test_output_is_whole_whatever_a_command_does_to_the_disk(verdicts, tmp_path, obstacle):
    (record,) = verdicts(f"{obstacle}; seq 40000; exit 5", collect=("x",))
    assert record.verdict.exit_code == 5
    assert (gathered(tmp_path, record).parent / "stdout.log").read_bytes() == LINES


@pytest.mark.slow
def test_a_kernel_without_disks_streams_all_of_it(profiles, tmp_path):
    kernel = kernels.fetch(profiles["debian-12-6.1"], host.cache_folder())
    bare = replace(profiles["debian-12-6.1"], id="bare", kernel=f"path:{kernel.image}", root=Path("/"))
    check = Check("seq 40000; yes | head -c 1000000 >&2; touch file", root=tmp_path, collect=("file",))
    session = Session(Project((check,), Matrix((bare, profiles["debian-12-6.1"])), tmp_path / ".bpfcompat"))
    try:
        without, with_disks = (target.record for target in engine.run(session).targets)
    finally:
        session.close()
    for name in ("stdout", "stderr"):
        logs = [(gathered(tmp_path, one).parent / f"{name}.log").read_bytes() for one in (without, with_disks)]
        assert logs[0] == logs[1]
        assert getattr(without.outcome, name) == getattr(with_disks.outcome, name)
    assert without.outcome.stderr.kept == 2 * STREAM_KEPT
    assert any("cannot mount disks" in note for note in without.outcome.notes)
    assert [one.path for one in with_disks.outcome.collected] == ["file"]

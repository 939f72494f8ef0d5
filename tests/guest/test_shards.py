"""Shards of a matrix on machines of their own, and what one reader makes of them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bpfcompat.project import schema
from bpfcompat.records import history


def tool(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "bpfcompat", *words], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def machines(tmp_path):
    """Two folders with the same project, as two machines have it."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "bpfcompat.yaml").write_text(
            "checks: [{name: release, command: uname -r}, {name: six, command: uname -r | grep ^6}]\nmatrix: quick\n"
        )
    return folders


def test_two_shards_are_as_one_run(machines, tmp_path):
    assert [tool(folder, "run", "--shard", f"{index}/2").returncode for index, folder in enumerate(machines, 1)] != [
        0,
        0,
    ]
    names = [str(folder / ".bpfcompat" / "report.json") for folder in machines]
    ran = [{row["profile_id"] for row in json.loads(Path(name).read_text())["targets"]} for name in names]
    assert all(ran)
    assert not ran[0] & ran[1]
    found = tool(tmp_path, "report", "--merge", *names, "--format", "json", "--out", "merged.json")
    merged = json.loads((tmp_path / "merged.json").read_text())
    assert schema.problems(merged, "report") == []

    shutil.copytree(machines[0], tmp_path / "whole", ignore=shutil.ignore_patterns(".bpfcompat"))
    whole = tool(tmp_path / "whole", "run")
    alone = json.loads((tmp_path / "whole" / ".bpfcompat" / "report.json").read_text())
    assert found.returncode == whole.returncode == 2
    assert merged["summary"] == alone["summary"]
    same = ("profile_id", "check", "status", "key", "host", "functional")
    for row, other in zip(merged["targets"], alone["targets"], strict=True):
        assert [row[name] for name in same[:-1]] == [other[name] for name in same[:-1]]
        assert row["functional"]["tests"][0]["stdout_tail"] == other["functional"]["tests"][0]["stdout_tail"]

    # What the whole took is how the next shards are divided, and merging twice is one run.
    tool(tmp_path, "report", "--merge", *names)
    assert len(history.entries(tmp_path / ".bpfcompat")) == 1
    assert set(history.seconds(tmp_path / ".bpfcompat")) == ran[0] | ran[1]
    assert history.seconds(machines[0] / ".bpfcompat") == {}


def test_logs_are_shown_from_where_they_were_brought_to(machines, tmp_path):
    for index, folder in enumerate(machines, 1):
        (folder / "bpfcompat.yaml").write_text("command: uname -r | grep ^6\nmatrix: quick\n")
        tool(folder, "run", "--shard", f"{index}/2", "--profile", "debian-1[12]*")
        shutil.move(folder / ".bpfcompat", tmp_path / f"artifact-{index}")
    names = [str(tmp_path / f"artifact-{index}" / "report.json") for index in (1, 2)]
    for artifact in (1, 2):
        (log,) = (tmp_path / f"artifact-{artifact}").glob("evidence/*/*/stdout.log")
        log.write_text(f"only in the file of {artifact}\n")
    page = tool(tmp_path, "report", "--merge", *names, "--format", "html")
    assert page.returncode == 2
    assert "only in the file of 1" in page.stdout
    assert "only in the file of 2" in page.stdout


def test_a_shard_alone_is_no_whole(machines, tmp_path):
    tool(machines[0], "run", "--shard", "1/2")
    found = tool(tmp_path, "report", "--merge", str(machines[0] / ".bpfcompat" / "report.json"))
    assert found.returncode == 1
    assert "the report of shard 2/2 is missing" in found.stderr
    assert tool(machines[0], "run", "--shard", "9/9").stderr.startswith(
        "bpfcompat: --shard 9/9: the matrix has 3 kernels"
    )

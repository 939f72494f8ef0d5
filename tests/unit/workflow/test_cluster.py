"""What a cluster needs of us that dask does not have: parcels, groups of children, and whom one talks to."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Check, ClusterSettings, Matrix, Profile, Project
from bpfcompat.system import processes
from bpfcompat.workflow.cluster import choice, coordinator, parcels
from bpfcompat.workflow.cluster.order import Ready
from bpfcompat.workflow.options import Options


def sent(source, folder, target):
    folder.mkdir()
    for piece in parcels.pieces(source):
        parcels.lay(folder, piece)
    parcels.finish(folder, piece, target)


def test_a_folder_arrives_as_it_is_without_its_holes(tmp_path):
    source = tmp_path / "kernel"
    (source / "modules").mkdir(parents=True)
    (source / "image").write_bytes(os.urandom(9 << 20))
    (source / "image").chmod(0o755)
    (source / "modules" / "00-empty.ko").touch()
    with (source / "disk").open("wb") as disk:
        disk.truncate(4 << 30)
        disk.seek(3 << 30)
        disk.write(b"here")
    sent(source, tmp_path / "laid", tmp_path / "there" / "kernel")
    found = tmp_path / "there" / "kernel"
    assert sorted(str(path.relative_to(found)) for path in found.rglob("*")) == [
        "disk",
        "image",
        "modules",
        "modules/00-empty.ko",
    ]
    assert (found / "image").read_bytes() == (source / "image").read_bytes()
    assert (found / "image").stat().st_mode & 0o777 == 0o755
    assert (found / "disk").stat().st_size == 4 << 30
    assert (found / "disk").stat().st_blocks * 512 < 1 << 20
    assert sum(len(data) for piece in parcels.pieces(source) for _, _, data in piece.blocks) < 10 << 20
    assert not (tmp_path / "laid").exists()


@pytest.mark.parametrize("content", [b"", b"x", bytes(5 << 20), os.urandom(5 << 20)], ids=len)
def test_a_file_arrives_as_it_is(tmp_path, content):
    (tmp_path / "disk").write_bytes(content)
    sent(tmp_path / "disk", tmp_path / "laid", tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == content
    assert not (tmp_path / "laid").exists()


def test_what_is_damaged_on_its_way_takes_no_place(tmp_path):
    (tmp_path / "disk").write_bytes(b"right")
    (piece,) = parcels.pieces(tmp_path / "disk")
    (tmp_path / "laid").mkdir()
    parcels.lay(tmp_path / "laid", piece)
    (tmp_path / "laid" / "file").write_bytes(b"wrong")
    with pytest.raises(ValueError, match="is not what was sent"):
        parcels.finish(tmp_path / "laid", piece, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_nothing_is_laid_outside(tmp_path, name):
    with pytest.raises(ValueError, match="outside of its parcel"):
        parcels.lay(tmp_path / "laid", parcels.Piece(((name, 0, b""),)))


def test_a_group_of_children_ends_without_the_others():
    started, go = threading.Barrier(3), threading.Event()
    ended = {}

    def work(name):
        with processes.group(name):
            child = processes.start(["sleep", "60"])
            started.wait()
            go.wait()
            ended[name] = processes.interrupted()
            with pytest.raises(BpfcompatError) if ended[name] else processes.group("nothing"):
                processes.stop(processes.start(["sleep", "0"]))
            children[name] = processes.stop(child, at_once=name == "stays")

    children = {}
    threads = [threading.Thread(target=work, args=(name,)) for name in ("ends", "stays")]
    for thread in threads:
        thread.start()
    started.wait()
    processes.stop_group("ends")
    processes.stop_group("never was")
    go.set()
    for thread in threads:
        thread.join()
    assert ended == {"ends": True, "stays": False}
    assert children == {"ends": -9, "stays": -9}
    assert not processes.interrupted()


def test_whoever_stops_all_stops_what_goes_on_elsewhere():
    told = []
    with processes.stopped_by(lambda: told.append("stopped")):
        processes.stop_all()
    processes.stop_all()
    assert told == ["stopped"]


def project(cluster=None):
    return Project((Check("true"),), Matrix((Profile("a", "path:k"),)), Path("work"), cluster=cluster)


KEYS = ClusterSettings("tls://scheduler:8786", True, Path("keys"))


@pytest.mark.parametrize(
    ("flag", "variable", "said", "found"),
    [
        (None, None, None, None),
        (None, None, KEYS, KEYS),
        (None, "tcp://b:1", None, ClusterSettings("tcp://b:1")),
        (None, "tcp://b:1", KEYS, replace(KEYS, address="tcp://b:1")),
        ("tcp://c:1", "tcp://b:1", None, ClusterSettings("tcp://c:1")),
        ("", "tcp://b:1", KEYS, None),
        (None, "", KEYS, None),
    ],
)
def test_the_flag_counts_before_the_environment_and_that_before_the_project(monkeypatch, flag, variable, said, found):
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(choice.VARIABLE, variable)
    assert choice.settings(project(said), Options(cluster=flag)) == found


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.7:8786", "scheduler:8786", "ws://scheduler:1", "tcp://[2001:db8::1]:1"]
)
def test_a_scheduler_that_is_open_to_others_is_refused(address):
    with pytest.raises(BpfcompatError, match="is not encrypted"):
        coordinator.Cluster(ClusterSettings(address), (), print)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "localhost:1", "tls://127.0.0.1:1", "nonsense://127.0.0.1"])
def test_one_that_is_not_there_is_a_sentence(address):
    if address.startswith("nonsense"):
        with pytest.raises(BpfcompatError, match="there is no scheduler"):
            coordinator.Cluster(ClusterSettings(address), (), print)
        return
    try:
        coordinator._refuse_open(address)
    except BpfcompatError:
        pytest.fail("it is on loopback")


def test_keys_that_are_not_there_are_a_sentence(tmp_path):
    with pytest.raises(BpfcompatError, match=r"ca\.pem"):
        coordinator.Cluster(ClusterSettings("tls://127.0.0.1:1", tls=tmp_path), (), print)


def test_a_boot_image_weighs_what_it_takes_to_have_it_elsewhere():
    assert sys.getsizeof(Ready("tcp://x", 70 << 20)) >= 70 << 20


def test_without_a_cluster_nothing_of_dask_is_loaded(tmp_path):
    code = (
        "import sys; from bpfcompat.workflow import Session, tasks; from bpfcompat.workflow.cluster import choice;"
        "print([m for m in ('dask', 'distributed', 'fsspec', 'aiohttp') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"

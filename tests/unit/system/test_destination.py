"""What a user names to be written: nothing of the machine is replaced, and nothing is written where it makes no sense."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import destination

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes; CI is root")
NULL, FULL, LOOP = os.makedev(1, 3), os.makedev(1, 7), os.makedev(7, 250)


def device(path, kind, number):
    os.mknod(path, kind | 0o666, number)
    return path


@ROOT
def test_a_device_is_written_to_and_stays_what_it_is(tmp_path):
    null = device(tmp_path / "null", stat.S_IFCHR, NULL)
    assert destination.check(null, "--out") == null
    destination.write(null, b"x" * 100_000)
    assert (stat.S_ISCHR(null.stat().st_mode), null.stat().st_rdev) == (True, NULL)
    assert list(tmp_path.iterdir()) == [null]


@ROOT
def test_a_link_to_a_device_stays_a_link(tmp_path):
    null = device(tmp_path / "null", stat.S_IFCHR, NULL)
    link = tmp_path / "link"
    link.symlink_to("null")
    destination.write(destination.check(link, "--out"), b"x")
    assert link.is_symlink()
    assert stat.S_ISCHR(null.stat().st_mode)


@ROOT
def test_a_device_that_takes_nothing_is_an_error(tmp_path):
    full = device(tmp_path / "full", stat.S_IFCHR, FULL)
    with pytest.raises(OSError, match="No space left"):
        destination.write(destination.check(full, "--out"), b"x")
    assert stat.S_ISCHR(full.stat().st_mode)


@ROOT
def test_a_block_device_is_refused_and_untouched(tmp_path):
    disk = device(tmp_path / "disk", stat.S_IFBLK, LOOP)
    with pytest.raises(BpfcompatError, match=f"--out {disk} is a block device"):
        destination.check(disk, "--out")
    with pytest.raises(OSError, match="no file"):
        destination.write(disk, b"x")
    assert stat.S_ISBLK(disk.stat().st_mode)


@pytest.mark.parametrize("kind", ["folder", "socket"])
def test_what_cannot_hold_a_report_is_refused(tmp_path, kind):
    place = tmp_path / "place"
    with socket.socket(socket.AF_UNIX) as end:
        place.mkdir() if kind == "folder" else end.bind(str(place))
        with pytest.raises(BpfcompatError, match=f"--out {place} is a {kind}"):
            destination.check(place, "--out")


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    destination.write(destination.check(pipe, "--out"), b"report" * 50_000)
    reader.join()
    assert heard == [b"report" * 50_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_whether_its_target_is_there_or_not(tmp_path, there):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "report.json", tmp_path / "link"
    link.symlink_to(target)
    if there:
        target.write_bytes(b"old")
    destination.write(destination.check(link, "--out"), b"new")
    assert (link.is_symlink(), target.read_bytes(), list(target.parent.iterdir())) == (True, b"new", [target])


def test_a_file_keeps_its_mode_and_its_old_content_until_the_new_is_whole(tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with contextlib.suppress(ZeroDivisionError), destination.written(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    destination.write(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("kind", ["file", "pipe", "appended"])
def test_stdout_goes_on_where_it_is(tmp_path, name, kind):
    """A shell's `> file` is not begun anew, and a pipe is not replaced by a file."""
    code = (
        "import sys; from pathlib import Path; from bpfcompat.system import destination as d;"
        f"sys.stdout.write('table\\n'); sys.stdout.flush(); d.write(d.check(Path('{name}'), '--out'), b'report\\n');"
        "sys.stdout.write('end\\n')"
    )
    into = tmp_path / "out"
    into.write_bytes(b"before\n" if kind == "appended" else b"")
    with into.open("ab" if kind == "appended" else "wb") as file:
        ran = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE if kind == "pipe" else file, check=True
        )
    found = ran.stdout if kind == "pipe" else into.read_bytes()
    assert found == (b"before\n" if kind == "appended" else b"") + b"table\nreport\nend\n"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BpfcompatError, match="is not a folder that is ours to write") as error:
        destination.check(tmp_path / "no" / "report", "--out")
    assert error.value.hint == f"mkdir -p {tmp_path / 'no'}"


@ROOT
def test_a_file_that_cannot_be_renamed_over_is_written_to(tmp_path):
    """A single file that a container sees by a bind mount."""
    outside, inside = tmp_path / "outside", tmp_path / "in side"
    outside.write_bytes(b"a longer old content")
    inside.touch()
    code = (
        "from pathlib import Path; from bpfcompat.system import destination as d;"
        f"d.write(d.check(Path('{inside}'), '--out'), b'new')"
    )
    mounted = 'mount --bind "$1" "$2" && exec "$3" -c "$4"'
    subprocess.run(["unshare", "-m", "sh", "-ec", mounted, "sh", outside, inside, sys.executable, code], check=True)
    assert (outside.read_bytes(), inside.read_bytes()) == (b"new", b"")

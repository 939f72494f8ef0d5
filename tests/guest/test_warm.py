"""Boot images: the same verdicts as a cold boot, nothing shared between two runs, and no trust in what is not whole."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpfcompat.outcome import Status
from bpfcompat.vm import bootimage
from bpfcompat.workflow.session import Options

from .conftest import KERNELS, machines_of

# The sizes of rootfs and devtmpfs are half of the memory the kernel found free, in which two cold boots of arm64's 5.10 differ by
# two pages now and then (4 of 101): where KASLR puts the kernel decides how many page tables it takes.
COMMANDS = [
    "exit 0",
    "kill -SEGV $$",
    "no-such-command",
    "echo out; echo err >&2; exit 3",
    "head -c 300000 /dev/zero | tr '\\0' x; exit 1",
    "uname -a; cat /proc/version /proc/cmdline; grep -E '^(model name|flags)' /proc/cpuinfo; lsmod | cut -d' ' -f1;"
    " mount | sed -E 's/size=[0-9]+k,nr_inodes=[0-9]+//';"
    " ls /sys/bus/virtio/devices /sys/class/block; cat /sys/kernel/security/lsm; ls -d /sys/kernel/btf",
    "env | sort; ulimit -a; id; pwd; stat -c '%A %U %n' . data/* /bpfcompat /dev/* /sys/fs/bpf; cat data/file;"
    " echo more >> data/file && ls -A /tmp /run; sysctl -a 2>/dev/null | grep -E 'bpf|panic|printk|sysrq'",
]


def told(record):
    """All of a record but what must differ: times, where it was kept, how it was booted, what its kernel said when."""
    plain = dataclasses.asdict(record)
    for name in ("started_at", "finished_at", "seconds", "run_id", "boot", "qemu_command", "evidence"):
        del plain[name]
    for name in ("command_seconds", "limit_seconds", "max_rss_kib", "kernel_log"):
        del plain["outcome"][name]
    return plain


def warm_records_that_cold_boots_confirm(verdicts, folder, kernels):
    (folder / "data").mkdir()
    (folder / "data" / "file").write_text("content\n")
    files = {"files": (folder / "data",), "kernels": kernels}
    warm = verdicts(*COMMANDS, options=Options(force=True), **files)
    cold = verdicts(*COMMANDS, options=Options(force=True, cold=True), **files)
    assert ({record.boot for record in warm}, {record.boot for record in cold}) == ({"warm"}, {"cold"})
    for one, other in zip(warm, cold, strict=True):
        assert one.outcome.stdout.tail.splitlines() == other.outcome.stdout.tail.splitlines(), one.job
        assert told(one) == told(other), one.job
    assert {record.verdict.status for record in warm} == {Status.PASS, Status.FAIL}
    return warm


@pytest.mark.slow
def test_warm_and_cold_boots_tell_the_same_on_every_kernel(verdicts, tmp_path):
    warm_records_that_cold_boots_confirm(verdicts, tmp_path, KERNELS)


def restored_guests_share_nothing(verdicts, kernels):
    """Restore two guests of each kernel: they share no random numbers, and know the time."""
    command = (
        "date +%s; head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/uuid; echo $SRANDOM;"
        " sed -n '/stack/p;/heap/p' /proc/self/maps"
    )
    before = time.time()
    first, second = (verdicts(command, kernels=kernels, options=Options(force=True)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert (one.boot, other.boot) == ("warm", "warm")
        lines = [record.outcome.stdout.tail.splitlines() for record in (one, other)]
        assert all(before - 2 < int(said[0]) < time.time() + 2 for said in lines)
        assert not set(lines[0][1:]) & set(lines[1][1:]), one.outcome.observed.release


def test_two_restored_guests_share_no_random_numbers_and_know_the_time(verdicts):
    restored_guests_share_nothing(verdicts, KERNELS)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [{"cpus": 2}, {"memory": 200}, {"memory": 3000, "cpus": 3}])
def test_any_memory_and_any_number_of_processors(verdicts, machine):
    command = "nproc; awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo; echo done"
    records = verdicts(command, kernels=KERNELS, machine=machine)
    for record in records:
        assert (record.boot, record.verdict.status) == ("warm", Status.PASS)
        processors, memory, done = record.outcome.stdout.tail.split()
        assert (int(processors), done) == (machine.get("cpus", 1), "done")
        assert 0.7 * machine.get("memory", 512) < int(memory) <= machine.get("memory", 512)


def image_of(verdicts, cache, kernel):
    """Return the boot image of a kernel, made if it is not there."""
    (record,) = verdicts("true", kernels=(kernel,))
    used = max(bootimage.kept(cache), key=lambda kept: kept.used)
    assert str(used.path) in record.qemu_command
    return used.path


@pytest.fixture
def image(verdicts, own_images):
    """The boot image of one kernel, in a cache of its own that shares the rest with the user's."""
    return image_of(verdicts, own_images, KERNELS[1])


def _flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _powercut(image):
    """After a power cut a file can have its size and times but not its content."""
    described = json.loads((image / "image.json").read_text())
    with (image / "ram").open("r+b") as file:
        file.seek(1 << 20)
        file.write(bytes(64 << 20))
    status = (image / "ram").stat()
    stamps = ["another boot", status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    (image / "image.json").write_text(json.dumps({**described, "stamps": stamps}))


DAMAGES = {
    "memory cut off": lambda image: os.truncate(image / "ram", 100 << 20),
    "memory with another byte": lambda image: _flip(image / "ram", 20 << 20),
    "memory lost in a power cut": _powercut,
    "memory gone": lambda image: (image / "ram").unlink(),
    "state gone": lambda image: (image / "state").unlink(),
    "state cut off": lambda image: os.truncate(image / "state", 1000),
    "state with another byte": lambda image: _flip(image / "state", 5000),
    "description of no use": lambda image: (image / "image.json").write_text("{"),
    "description gone": lambda image: (image / "image.json").unlink(),
    "memory of another machine": lambda image: shutil.copyfile(Path("/proc/self/exe"), image / "ram"),
}


def is_made_anew_with_one_line(verdicts, kernel, image, damage, capfd):
    """Damage an image: the next run says so in one line, its verdict is right, and the ones after it are warm again."""
    capfd.readouterr()
    damage(image)
    (record,) = verdicts("echo alive", kernels=(kernel,), options=Options(force=True))
    assert (record.verdict.status, record.outcome.stdout.tail) == (Status.PASS, "alive")
    notices = capfd.readouterr().err.splitlines()
    assert len(notices) == 1
    assert f"boot image of {kernel}" in notices[0]
    for _ in range(2):
        (record,) = verdicts("true", kernels=(kernel,), options=Options(force=True))
    assert record.boot == "warm"


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_an_image_that_is_not_whole_is_made_anew_with_one_line_and_never_trusted(verdicts, image, damage, capfd):
    is_made_anew_with_one_line(verdicts, KERNELS[1], image, damage, capfd)


def test_a_copied_image_is_read_once_and_taken(verdicts, image, capfd):
    other = image.with_name("copy")
    shutil.copytree(image, other)
    shutil.rmtree(image)
    other.rename(image)
    capfd.readouterr()
    (record,) = verdicts("true", options=Options(force=True))
    assert (record.boot, record.verdict.status) == ("warm", Status.PASS)
    assert capfd.readouterr().err == ""


def test_state_that_qemu_does_not_take_is_not_fatal(verdicts, image, capfd):
    """As after an update of QEMU that kept its version."""
    described = json.loads((image / "image.json").read_text())
    state = b"QEVM" + bytes(5000)
    (image / "state").write_bytes(state)
    from bpfcompat.system import digest

    (image / "image.json").write_text(json.dumps({**described, "state": digest.of_bytes(state)}))
    capfd.readouterr()
    (record,) = verdicts("echo alive", options=Options(force=True))
    assert (record.boot, record.verdict.status, record.outcome.stdout.tail) == ("cold", Status.PASS, "alive")
    assert len(capfd.readouterr().err.splitlines()) == 1
    assert not image.exists()


@pytest.mark.slow
def test_killed_at_any_moment_leaves_nothing_that_a_later_run_trusts(tmp_path, verdicts, image, own_images):
    """kill -9 while images are saved and restored; afterwards every image is whole, and no process is left."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "bpfcompat.yaml").write_text(
        "command: echo alive\nmatrix: [{id: a, kernel: 'apt:bookworm/linux-image-cloud-amd64', memory: 300}]\n"
    )
    for moment in (0.15, 0.3, 0.5, 1.0, 1.5, 1.8, 2.0, 2.2, 0.35):
        child = subprocess.Popen(
            [sys.executable, "-m", "bpfcompat", "run", "--force"],
            cwd=project,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            child.wait(moment)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
        deadline = time.monotonic() + 2
        while machines_of(project) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not machines_of(project)
        assert all(bootimage.is_whole(kept.path) for kept in bootimage.kept(own_images))
    result = subprocess.run(
        [sys.executable, "-m", "bpfcompat", "run", "--force"], cwd=project, capture_output=True, text=True, check=True
    )
    assert "1 passed" in result.stdout
    assert not list(bootimage.folder(own_images).glob(".*"))


def test_no_firmware_keeps_memory_where_the_initramfs_is(verdicts):
    """The kernel moves an initramfs away that reaches into what the firmware keeps; a machine has four disks at least."""
    (record,) = verdicts("dmesg | grep -c 'Linux version'; ! dmesg | grep 'Allocated new RAMDISK'")
    assert (record.verdict.status, record.outcome.stdout.tail) == (Status.PASS, "1"), record.outcome.stdout.tail

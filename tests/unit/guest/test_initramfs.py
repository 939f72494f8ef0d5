"""The archive of the guest's userland."""

import subprocess

from bpfcompat.guest import initramfs
from bpfcompat.guest.initramfs import Userland


def test_the_archive_is_the_one_that_cpio_reads(tmp_path):
    for name in ("init", "bash", "busybox"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    (tmp_path / "00-x.ko").write_bytes(b"module")
    userland = Userland(tmp_path / "init", tmp_path / "bash", tmp_path / "busybox")
    data = initramfs.pack(userland, ["ls", "cat"], [tmp_path / "00-x.ko"])
    assert data == initramfs.pack(userland, ["ls", "cat"], [tmp_path / "00-x.ko"])
    listed = subprocess.run(["busybox", "cpio", "-tv"], input=data, capture_output=True, check=True).stdout.decode()
    rows = {line.split(maxsplit=5)[5].split(" -> ")[0]: line.split() for line in listed.splitlines()}
    assert rows["init"][0] == "-rwxr-xr-x"
    assert rows["init"][2] == "12"
    assert rows["dev/console"][0] == "crw-------"
    assert rows["bin/ls"][-1] == "busybox"
    assert rows["modules/00-x.ko"][2] == "6"
    assert rows["tmp"][0] == "drwxr-xr-x"

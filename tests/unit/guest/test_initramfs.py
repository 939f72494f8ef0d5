"""The archive of the guest's userland."""

import subprocess
from dataclasses import replace

from bpfcompat.guest import initramfs
from bpfcompat.guest.kit import contents
from bpfcompat.model import Kernel
from tests.parts import KIT


def test_the_archive_is_the_one_that_cpio_reads(tmp_path):
    for name in ("init", "bash", "busybox"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    (tmp_path / "00-x.ko").write_bytes(b"module")
    (tmp_path / "config").write_bytes(b"CONFIG_BPF=y\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_bytes(b"root")
    kit = replace(KIT, folder=tmp_path, applets=("ls", "cat", "modprobe"), programs=("/usr/sbin/modprobe",))
    kernel = Kernel("path:x", "1", tmp_path, "", (tmp_path / "00-x.ko",), "", release="6.1", config=tmp_path / "config")
    data = initramfs.pack(kit, kernel)
    assert data == initramfs.pack(kit, kernel)
    listed = subprocess.run([KIT.busybox, "cpio", "-tv"], input=data, capture_output=True, check=True).stdout.decode()
    rows = {line.split(maxsplit=5)[5].split(" -> ")[0]: line.split() for line in listed.splitlines()}
    assert rows["init"][0] == "-rwxr-xr-x"
    assert rows["init"][2] == "12"
    assert rows["dev/console"][0] == "crw-------"
    assert rows["bin/ls"][-1] == "busybox"
    assert rows["modules/00-x.ko"][2] == "6"
    assert rows["tmp"][0] == "drwxr-xr-x"
    assert rows["boot/config-6.1"][2] == "13"
    assert rows["etc/passwd"][2] == "4"
    assert "bin/modprobe" not in rows, "the tools have a better one"


def test_the_kit_is_what_its_description_says():
    assert contents.identity(KIT.folder) == KIT.identity
    assert {"ls", "sh", "awk"} <= set(KIT.applets)
    assert {"bpftool", "ip", "tc", "modprobe", "timeout"} <= initramfs.programs(KIT)


def test_tools_run_on_this_machine_with_their_own_c_library():
    said = subprocess.run(
        KIT.command("/usr/sbin/depmod", "--version"), capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("kmod version")


def test_applets_do_not_hide_other_programs(tmp_path):
    """`timeout 5 ip` must start the ip of PATH, not busybox's own."""
    own = tmp_path / "ls"
    own.write_text("#!/bin/sh\necho own\n")
    own.chmod(0o755)
    for words in (["timeout", "5", "ls"], ["env", "ls"], ["sh", "-c", "ls"], ["xargs", "ls"]):
        command = [str(KIT.busybox), *words]
        said = subprocess.run(
            command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, input="", check=True
        )
        assert said.stdout.splitlines()[-1] == "own", words


def test_bash_has_its_symbols():
    """Tutorials attach a uretprobe to readline, and cilium's link package looks for main."""
    symbols = subprocess.run(["nm", KIT.bash], capture_output=True, text=True, check=True).stdout
    assert {" T main", " T readline"} <= {line[16:] for line in symbols.splitlines()}

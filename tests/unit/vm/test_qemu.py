"""QEMU's arguments."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat.vm import BOARDS, qemu

MACHINE = qemu.Machine("qemu", "tcg", 512, 1, Path("/k/vmlinuz"), Path("/k/initramfs"))


def test_the_arguments_of_qemu():
    arguments = qemu.argv(MACHINE, [5, 6, 7, 8], 9, Path("/p/a,b.ext4"))
    text = " ".join(arguments)
    assert [a for a in arguments if a.startswith("chardev:")] == [f"chardev:{name}" for name in qemu.SERIAL_PORTS]
    for name, number in zip(qemu.SERIAL_PORTS, (5, 6, 7, 8), strict=True):
        assert f"socket,id={name},fd={number}" in arguments
    assert "file=/p/a,,b.ext4" in text
    for wanted in (
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-nic none",
        "readonly=on",
        "-sandbox on",
        "-boot strict=on",
    ):
        assert wanted in text


def test_a_guest_may_write_to_one_disk_only():
    disks = replace(MACHINE, disks=(("tools", Path("/t")),))
    drives = [a for a in qemu.argv(disks, [5, 6, 7, 8], 9, Path("/p"), outbox=10) if a.startswith("if=none")]
    assert [drive for drive in drives if "readonly=on" not in drive] == [drives[-1]]
    assert drives[-1].endswith("file=/proc/self/fd/10")


def test_emulated_processors_share_one_thread():
    assert "tcg,thread=single" in qemu.argv(replace(MACHINE, cpus=4), [1, 2, 3, 4], 5, Path("p"))
    assert "kvm" in qemu.argv(replace(MACHINE, accelerator="kvm"), [1, 2, 3, 4], 5, Path("p"))


def test_a_profile_adds_to_the_kernel_command_line():
    line = replace(MACHINE, cmdline="lsm=bpf  foo").kernel_command_line
    assert line.endswith("lsm=bpf foo")
    assert "panic=-1" in line


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_board_has_a_port_for_every_channel_and_says_where_its_console_is(board):
    arguments = " ".join(qemu.argv(replace(MACHINE, board=board), [5, 6, 7, 8], 9, Path("/p")))
    for name in qemu.SERIAL_PORTS:
        assert re.search(rf"\b(?:chardev:|chardev\d=){name}\b", arguments)
    assert f"console={board.console} " in arguments
    assert f"-M {board.machine} " in arguments

"""What BPF objects ask of a kernel, by themselves and inside a loader."""

import subprocess

import pytest

from bpfcompat.guest import embedded

SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
static long turn(__u32 index, void *context) { return 0; }
SEC("?kprobe.multi/do_nanosleep") int loops(void *context) { return bpf_loop(3, turn, 0, 0); }
SEC("tp/syscalls/sys_enter_getpgid") int ids(void *context) { return bpf_get_current_pid_tgid() & 1; }
"""
ASKED = {
    "sections": {"loops": "?kprobe.multi/do_nanosleep", "ids": "tp/syscalls/sys_enter_getpgid"},
    "helpers": [14, 181],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("object")
    (folder / "x.bpf.c").write_text(SOURCE)
    machine = subprocess.check_output(["uname", "-m"], text=True).strip()
    command = [
        "clang",
        "-O2",
        "-g",
        "-target",
        "bpf",
        f"-I/usr/include/{machine}-linux-gnu",
        "-c",
        "x.bpf.c",
        "-o",
        "x.bpf.o",
    ]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "x.bpf.o"


def test_an_object_tells_what_it_asks(built):
    assert embedded.asked(built) == ASKED


def test_an_object_is_found_within_a_loader(built, tmp_path):
    loader = tmp_path / "loader"
    loader.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(999) + built.read_bytes() + b"\x7fELF\x02\x01\x01\0" + bytes(77))
    assert embedded.asked(loader) == ASKED


@pytest.mark.parametrize("cut", [0, 30, 200, 1000])
def test_what_cannot_be_read_asks_nothing(built, tmp_path, cut):
    (tmp_path / "torn").write_bytes(built.read_bytes()[:cut])
    assert embedded.asked(tmp_path / "torn") == {"sections": {}, "helpers": []}
    assert embedded.asked(tmp_path / "none") == {"sections": {}, "helpers": []}

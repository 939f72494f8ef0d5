"""`headers: true`: what stands in the guest, what bcc makes of it, and what is said where they are not to be had."""

import os
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat import kernels
from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import unpack
from bpfcompat.model import Check, Matrix, Project
from bpfcompat.outcome import Status
from bpfcompat.system import host
from bpfcompat.verdict import hints
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

from ..hosts import roots
from .conftest import KERNELS

pytestmark = pytest.mark.slow

PROGRAM = r'''
import ctypes, os
from bcc import BPF
b = BPF(text="""
#include <linux/sched.h>
#include <uapi/linux/ptrace.h>
BPF_HASH(seen, u32, u64);
int look(struct pt_regs *ctx)
{
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    u32 process = task->tgid;
    u64 start = task->start_time;

    seen.update(&process, &start);
    return 0;
}
""")
b.attach_kprobe(event=b.get_syscall_fnname("getpid"), fn_name="look")
ctypes.CDLL(None).syscall(39)
assert os.getpid() in [key.value for key in b["seen"]]
'''
LAID_OUT = (
    "cd /lib/modules/$(uname -r) && test -s modules.dep && test -s build/include/generated/autoconf.h"
    " && test -s source/include/linux/sched.h && test -s build/Makefile && test -s build/scripts/Makefile.build"
    " && grep -q $(uname -r) build/include/generated/utsrelease.h && test -x $(ls -d /usr/lib/linux-kbuild-*)/scripts/mod/modpost"
)


def ran(folder, profiles, *commands, rootfs=None, **check):
    checks = tuple(Check(command, name=f"c{index}", **check) for index, command in enumerate(commands))
    session = Session(Project(checks, Matrix(tuple(profiles)), folder / ".bpfcompat", rootfs=rootfs), Options())
    try:
        return [target.record for target in engine.run(session).targets]
    finally:
        session.close()


def test_they_stand_where_modules_and_bcc_look_for_them(profiles, tmp_path):
    wanted = [replace(profiles[name], headers=True) for name in KERNELS]
    for record in ran(tmp_path, wanted, LAID_OUT):
        assert record.verdict.status is Status.PASS, record.outcome
    # Without them the guest is another one, with other verdicts.
    (record,) = ran(tmp_path, [profiles[KERNELS[1]]], f"! ({LAID_OUT}) && ! ls /usr/src /lib/modules/*/build")
    assert record.verdict.status is Status.PASS, record.outcome


@pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap needs root; CI is root")
def test_bcc_compiles_and_runs_with_them_and_is_told_of_them_without(profiles, tmp_path):
    rootfs = roots.bootstrapped("bcc", "trixie", ["python3-bpfcc"])
    (tmp_path / "program.py").write_text(PROGRAM)
    machine = replace(profiles["debian-13-backports"], memory=1024)
    wanted = [replace(machine, id="with", headers=True), replace(machine, id="without")]
    passed, failed = ran(
        tmp_path,
        wanted,
        "python3 program.py",
        rootfs=rootfs,
        root=tmp_path,
        files=(tmp_path / "program.py",),
        timeout=600,
    )
    assert passed.verdict.status is Status.PASS, passed.outcome
    assert failed.verdict.status is Status.FAIL
    assert [hint for hint in hints.of(failed) if "`headers: true`" in hint], failed.outcome.stderr


def test_a_kernel_of_another_version_than_their_packages_says_so(profiles):
    cache = host.cache_folder()
    profile = profiles["debian-12-6.1"]
    old = replace(kernels.fetch(profile, cache), version="linux-image-6.1.0-56-cloud-amd64 6.1.0-0")
    source = kernels.sources.load("apt")
    with tempfile.TemporaryDirectory() as folder, pytest.raises(NoVerdict, match=r"no more, but 6\.1\."):
        source.headers(
            kernels.sources.Asked("bookworm/linux-image-cloud-amd64", profile, cache, Path(folder)),
            old.release,
            old.version,
        )


def test_nothing_is_written_through_a_link(tmp_path):
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        link = tarfile.TarInfo("usr/src/linux-x")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("usr/src/linux-x/escape"))
    with pytest.raises(NoVerdict, match="through a link"):
        unpack.layer(tmp_path / "evil.tar", tmp_path / "out", unpack.HEADERS)
    assert not (tmp_path / "escape").exists()

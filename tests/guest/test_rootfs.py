"""A project's own userland in the guest: what stands there, what may be written, and what it cannot do."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from bpfcompat import architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import libraries, preflight, rootfs
from bpfcompat.model import Check, Matrix, Profile, Project
from bpfcompat.outcome import Classification, Status
from bpfcompat.system import disk
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

PROGRAMS = ("/bin/bash", "/bin/cat", "/bin/ls", "/bin/uname")


@pytest.fixture(scope="session")
def userland(tmp_path_factory):
    """This machine's bash and some programs, with their libraries, as a distribution would lay them out."""
    tree = tmp_path_factory.mktemp("userland") / "tree"
    for folder in ("usr/bin", "usr/lib", "usr/lib64", "etc", "tmp", "root"):
        (tree / folder).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    for program in PROGRAMS:
        files = libraries.closure(Path(program), preflight.interpreter(Path(program)), architecture.host())
        for path, source in {**files, program: Path(program)}.items():
            target = tree / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    (tree / "etc" / "marker").write_text("our own\n")
    return tree


@pytest.fixture
def run(tmp_path, profiles):
    def run(tree, *commands, boot="warm", kernels=("debian-11-5.10", "debian-13-backports"), **check):
        checks = tuple(
            Check(command, name=f"c{number}", root=tmp_path, **check) for number, command in enumerate(commands)
        )
        matrix = Matrix(tuple(profiles[name] for name in kernels))
        session = Session(Project(checks, matrix, tmp_path / ".bpfcompat", boot=boot, rootfs=tree), Options())
        try:
            return [target.record for target in engine.run(session).targets]
        finally:
            session.close()

    return run


@pytest.mark.parametrize("boot", ["warm", "cold"])
def test_the_command_runs_in_it_and_may_write(run, userland, boot):
    records = run(
        userland,
        "cat /etc/marker && [[ -r /proc/1/stat && -d /sys/fs/bpf && -c /dev/null ]] && ls -d /lib/modules/$(uname -r)"
        " && echo new >/etc/marker && cat /etc/marker && [[ $PWD = $BPFCOMPAT_REMOTE_ROOT ]] && echo x >here",
        "cat /etc/marker; [[ ! -e /bin/busybox && ! -e here ]]",
        boot=boot,
    )
    for record in records:
        assert record.verdict.status is Status.PASS, record.outcome
        assert record.outcome.stdout.tail.startswith("our own")
    assert (userland / "etc" / "marker").read_text() == "our own\n"


def test_a_dynamic_loader_finds_its_libraries_there(run, userland, tmp_path):
    (tmp_path / "x.c").write_text('#include <stdio.h>\nint main(void) { puts("dynamic"); return 7; }\n')
    subprocess.run(["gcc", "-o", tmp_path / "loader", tmp_path / "x.c"], check=True)
    for record in run(userland, "exec $BPFCOMPAT_BIN", binary=tmp_path / "loader"):
        assert (record.verdict.exit_code, record.outcome.stdout.tail) == (7, "dynamic")


def test_a_loader_whose_library_is_not_there_is_refused_before_any_boot(run, userland, tmp_path):
    small = shutil.copytree(userland, tmp_path / "small", symlinks=True)
    for library in small.rglob("libc.so.6"):
        library.unlink()
    for record in run(small, "$BPFCOMPAT_BIN", binary=Path("/bin/true")):
        assert record.verdict.classification is Classification.LOADER_NOT_RUNNABLE
        assert "libc.so.6, which guest.rootfs does not have" in record.verdict.reason
        assert record.qemu_command == ""


def test_an_archive_without_a_shell_is_a_userland_too(run, tmp_path):
    (tmp_path / "marker").write_text("packed\n")
    with tarfile.open(tmp_path / "u.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "marker", "./etc/marker")
    first = run(tmp_path / "u.tar.gz", "echo $(</etc/marker)")
    assert [(record.verdict.status, record.outcome.stdout.tail) for record in first] == [(Status.PASS, "packed")] * 2
    assert all(record.cached for record in run(tmp_path / "u.tar.gz", "echo $(</etc/marker)"))


def test_another_content_is_another_key(userland, tmp_path):
    tree = shutil.copytree(userland, tmp_path / "tree", symlinks=True)
    cache = tmp_path / "cache"
    first = rootfs.find(tree, cache)
    assert rootfs.find(tree, cache) == first
    (tree / "etc" / "marker").write_text("other\n")
    second = rootfs.find(tree, cache)
    assert second.identity != first.identity
    (tree / "etc" / "marker").write_text("our own\n")
    assert rootfs.find(tree, cache).identity == first.identity


def test_what_is_no_userland_is_one_sentence(tmp_path, run):
    (tmp_path / "x").write_text("x")
    for name in ("x", "nothing"):
        with pytest.raises(
            BpfcompatError, match=r"guest\.rootfs: .*(neither a folder nor a tar archive|does not exist)"
        ):
            run(tmp_path / name, "true")
    with tarfile.open(tmp_path / "out.tar", "w") as archive:
        archive.add(tmp_path / "x", "../outside")
    with pytest.raises(BpfcompatError, match="leads out of it"):
        rootfs.find(tmp_path / "out.tar", tmp_path / "cache")


def test_a_kernel_without_disks_says_that_it_cannot(tmp_path, userland, kernel):
    shutil.copy(kernel.image, tmp_path / "vmlinux")
    profile = Profile("bare", "path:vmlinux", root=tmp_path)
    session = Session(Project((Check("true"),), Matrix((profile,)), tmp_path / "w", rootfs=userland), Options())
    try:
        (target,) = engine.run(session).targets
    finally:
        session.close()
    assert target.record.verdict.classification is Classification.KERNEL_UNAVAILABLE
    assert "it cannot run on guest.rootfs" in target.record.verdict.reason


def test_a_userland_that_changes_while_it_is_packed_is_not_kept_under_another_s_name(userland, tmp_path, monkeypatch):
    tree, real = shutil.copytree(userland, tmp_path / "tree", symlinks=True), disk.make
    found = rootfs.find(tree, tmp_path / "cache")

    def make(*arguments):
        real(*arguments)
        (tree / "etc" / "marker").write_text("changed\n")

    monkeypatch.setattr(disk, "make", make)
    with pytest.raises(BpfcompatError, match="changed while it was packed"):
        rootfs.pack(tree, found, tmp_path / "cache")
    assert not rootfs.disk_path(tmp_path / "cache", found).exists()


def test_its_own_modules_are_not_hidden_and_it_resolves_localhost(run, userland, tmp_path):
    """`docker export` leaves /etc/hosts and /etc/resolv.conf empty; DKMS and bpf_testmod stand under the kernel's release."""
    tree = tmp_path / "tree"
    shutil.copytree(userland, tree, symlinks=True)
    (tree / "etc" / "hosts").touch()
    for release in ("own", "other"):
        (tree / "usr/lib/modules" / release).mkdir(parents=True)
        (tree / "usr/lib/modules" / release / "mine").write_text("mine\n")
    records = run(
        tree,
        "cat /lib/modules/own/mine /etc/hosts && ls /lib/modules/$(uname -r)/modules.dep.bin && echo x > /lib/modules/$(uname -r)/new"
        " && ls /boot/config-$(uname -r) && [[ -e /etc/resolv.conf ]]",
    )
    for record in records:
        assert record.verdict.status is Status.PASS, record.outcome.stderr.tail
        assert record.outcome.stdout.tail.startswith("mine\n127.0.0.1 localhost")


def test_disks_that_were_not_used_for_long_are_pruned(tmp_path):
    folder = tmp_path / "rootfs"
    folder.mkdir()
    for age, name in enumerate(("new", "old", "oldest")):
        (folder / f"{name}.ext4").write_bytes(b"x" * (1 << 20))
        os.utime(folder / f"{name}.ext4", (1_000_000 - age, 1_000_000 - age))
    assert rootfs.prune(tmp_path, 2 << 20) == (1, 1 << 20)
    assert {path.stem for path in folder.iterdir()} == {"new", "old"}
    assert rootfs.prune(tmp_path, 0, keep=folder / "old.ext4") == (1, 1 << 20)
    assert {path.stem for path in folder.iterdir()} == {"old"}

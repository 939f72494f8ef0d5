"""`bpfcompat exec`: a program on a real kernel, as if it ran here: its words, its folder, its streams, its exit code."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bpfcompat.errors import NoVerdict
from bpfcompat.model import Matrix, Project
from bpfcompat.outcome import Classification
from bpfcompat.system import host
from bpfcompat.vm import bootimage
from bpfcompat.workflow import ahead, programs

from .conftest import KERNELS, machines_of

KERNEL = "apt:bookworm/linux-image-cloud-amd64"


def run(*arguments, cwd, flags=("--kernel", KERNEL), env=None, **options):
    """Run the verb; its environment is ours, less the cache's variable that unit tests set."""
    return subprocess.run(
        [sys.executable, "-m", "bpfcompat", "exec", *flags, "--", *arguments],
        cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, timeout=600, check=False, **options,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _boot_image(tmp_path_factory):
    """The first use of a kernel says that it boots it."""
    assert run("true", cwd=tmp_path_factory.mktemp("first")).returncode == 0


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A static C program that says how it was started, and a folder that it knows."""
    folder = tmp_path_factory.mktemp("built")
    source = r"""
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char path[4096] = "";
    if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0) return 1;
    printf("%s\n", path);
    printf("%s\n", getcwd(path, sizeof(path)));
    for (int i = 0; i < argc; i++) printf("[%s]", argv[i]);
    return 0;
}"""
    (folder / "prog.c").write_text(source)
    compiler = os.environ.get("CC", "gcc").split()
    subprocess.run([*compiler, "-static", "-o", folder / "prog", folder / "prog.c"], check=True)
    (folder / "prog.c").unlink()
    return folder / "prog"


def test_a_program_has_its_own_words_path_and_folder(program, tmp_path):
    words = ["", " ", "--", "--kernel", "$HOME `id`", "ä\n"]
    ended = run(str(program), *words, cwd=tmp_path)
    assert ended.stderr == b""
    listed = "".join(f"[{word}]" for word in [str(program), *words])
    assert (ended.stdout.decode(), ended.returncode) == (f"{program}\n{tmp_path}\n{listed}", 0)


def test_the_folder_comes_along_as_a_copy_and_what_is_written_stays_in_the_guest(tmp_path):
    (tmp_path / "data").mkdir(mode=0o750)
    (tmp_path / "data" / "file").write_text("here\n")
    (tmp_path / "link").symlink_to("data/file")
    (tmp_path / ".git").mkdir()
    (tmp_path / "big").write_text("left out")
    (tmp_path / ".bpfcompatignore").write_text("# what the tests do not need\n/big\n")
    other = tmp_path.parent / f"{tmp_path.name}-other"
    other.mkdir()
    (other / "more").write_text("shared\n")
    script = f"stat -c %a data; cat link {other}/more; ls -A; echo new > data/file; echo x > y; cat data/file"
    ended = run("sh", "-c", script, cwd=tmp_path, flags=("--kernel", KERNEL, "--share", str(other)))
    shutil.rmtree(other)
    assert ended.stdout.decode().split() == ["750", "here", "shared", ".bpfcompatignore", "data", "link", "new"]
    assert ((tmp_path / "data" / "file").read_text(), (tmp_path / "y").exists()) == ("here\n", False)


@pytest.mark.parametrize(("size", "filesystem"), [(1 << 20, "tmpfs"), (3 << 20, "overlay")])
def test_a_small_folder_is_copied_there_and_a_large_one_laid_over(tmp_path, size, filesystem):
    (tmp_path / "in").mkdir()
    (tmp_path / "in").chmod(0o2750)
    (tmp_path / "in" / "file").write_bytes(bytes(size))
    (tmp_path / "in" / "link").symlink_to("file")
    (tmp_path / "in" / "below").mkdir()
    (tmp_path / "in" / "below").chmod(0o750)
    (tmp_path / "in" / "file").chmod(0o640)
    for name in ("in/file", "in"):
        os.utime(tmp_path / name, (1.5e9, 1.5e9))
    script = """
        awk -v here=$PWD '$2 == here {print $3}' /proc/mounts
        stat -c '%n %A %s %Y' in in/file; readlink in/link; stat -c %A in/below
        echo more >> in/file; stat -L -c %s in/link"""
    ended = run("bash", "-c", script, cwd=tmp_path)
    assert (ended.stderr, ended.returncode) == (b"", 0)
    *where, size_now = ended.stdout.decode().splitlines()
    folder_size = where[1].split()[2]
    assert where == [
        filesystem, f"in drwxr-s--- {folder_size} 1500000000", f"in/file -rw-r----- {size} 1500000000", "file",
        "drwxr-x---",
    ]  # fmt: skip
    assert int(size_now) == size + len("more\n")


def test_streams_are_byte_exact_apart_and_not_cut(tmp_path):
    data = os.urandom(700_000)
    (tmp_path / "data").write_bytes(data)
    ended = run("sh", "-c", "cat data; head -c 300000 data >&2; exit 9", cwd=tmp_path)
    assert (ended.stdout == data, ended.stderr == data[:300_000], ended.returncode) == (True, True, 9)


def test_what_the_program_writes_last_is_read_however_late_we_are_read(tmp_path):
    """The reader begins when the program has long ended; the limit of the program does not count that time."""
    line = [sys.executable, "-m", "bpfcompat", "exec", "--kernel", KERNEL, "--timeout", "20s", "--"]
    with subprocess.Popen([*line, "sh", "-c", "yes | head -c 1000000"], cwd=tmp_path, stdout=subprocess.PIPE) as child:
        first = child.stdout.read(1)
        threading.Event().wait(3.0)  # longer than init waits for a process that holds the pipe
        rest = child.stdout.read()
    assert (len(first + rest), child.wait()) == (1_000_000, 0)


def test_standard_input_is_empty_or_passed_on(tmp_path):
    data = os.urandom(100_000)
    nothing = run("wc", "-c", cwd=tmp_path, input=data)
    passed = run("sha256sum", cwd=tmp_path, flags=("--kernel", KERNEL, "-i"), input=data)
    partly = run("head", "-c", "3", cwd=tmp_path, flags=("--kernel", KERNEL, "-i"), input=data)
    assert (nothing.stdout.split(), passed.stdout.split()[0]) == ([b"0"], hashlib.sha256(data).hexdigest().encode())
    assert (partly.stdout, partly.returncode) == (data[:3], 0)


@pytest.mark.parametrize(
    ("script", "flags", "code", "said"),
    [
        ("kill -SEGV $$", (), 128 + signal.SIGSEGV, ""),
        ("exit 255", (), 255, ""),
        ("echo partly; sleep 100", ("--timeout", "1s"), 124, "still running after 1 s"),
        ("echo c > /proc/sysrq-trigger", (), 125, "The kernel panicked"),
        ("echo c > /proc/sysrq-trigger", (), 125, "Kernel panic - not syncing: sysrq triggered crash"),
        ("echo 512 > /proc/sys/kernel/tainted", (), 0, "the kernel was tainted meanwhile: W"),
        ("reboot -f", (), 125, "rebooted or powered off"),
    ],
)
def test_the_exit_code_is_the_program_s_or_says_whose_it_is(script, flags, code, said, tmp_path):
    ended = run("sh", "-c", script, cwd=tmp_path, flags=("--kernel", KERNEL, *flags))
    assert (ended.returncode, said in ended.stderr.decode()) == (code, True), ended.stderr


def test_what_cannot_run_is_told_before_any_boot(tmp_path):
    (tmp_path / "text").write_text("no program\n")
    (tmp_path / "script").write_text("#!/usr/bin/no-such-interpreter\n")
    for name, code, said in (
        ("./absent", 127, "neither a program of the guest nor one of this machine"),
        ("absent-everywhere", 127, "neither a program of the guest nor one of this machine"),
        ("./text", 125, "neither an ELF program nor a script"),
        ("./script", 125, "which the guest does not have"),
    ):
        ended = run(name, cwd=tmp_path)
        assert (ended.returncode, said in ended.stderr.decode()) == (code, True), (name, ended.stderr)


def test_no_kernel_is_guessed(tmp_path):
    (tmp_path / "bpfcompat.yaml").write_text("command: 'true'\nmatrix: quick\n")
    for cwd, flags, said in (
        (tmp_path, (), "the project has several kernels"),
        (Path("/"), (), "no kernel was named"),
        (tmp_path, ("--kernel", KERNEL, "--profile", "debian-12-6.1"), "leave one of them out"),
        (tmp_path, ("--no-such-flag",), "--help"),
    ):
        ended = run("true", cwd=cwd, flags=flags, env={"BPFCOMPAT_KERNEL": ""})
        assert (ended.returncode, said in ended.stderr.decode()) == (125, True), ended.stderr


def test_the_kernel_comes_from_the_environment_a_profile_or_a_matrix(tmp_path):
    below = tmp_path / "project" / "package"
    below.mkdir(parents=True)
    (below.parent / "bpfcompat.yaml").write_text(f"command: 'true'\nmatrix: [{{id: only, kernel: '{KERNEL}'}}]\n")
    named = run("uname", "-r", cwd=tmp_path, flags=(), env={"BPFCOMPAT_KERNEL": KERNEL})
    only = run("uname", "-r", cwd=below, flags=())
    shipped = run("uname", "-r", cwd=below, flags=("--matrix", "quick", "--profile", "debian-12-6.1"))
    assert named.stdout == only.stdout == shipped.stdout != b""


def test_several_kernels_are_told_apart_and_the_first_failure_counts(tmp_path):
    script = "uname -r; printf part >&2; test $(uname -r | cut -d. -f1) = 6"
    for _ in range(2):  # none of them is restored ahead
        ended = run("sh", "-c", script, cwd=tmp_path, flags=("--matrix", "quick"))
        lines = sorted(line.split(" | ")[0].strip() for line in ended.stdout.decode().splitlines())
        assert lines == ["debian-11-5.10", "debian-12-6.1", "debian-13-backports"]
        assert [line.split()[:2] for line in ended.stderr.decode().splitlines()[-3:]] == [
            ["debian-11-5.10", "1"], ["debian-12-6.1", "0"], ["debian-13-backports", "1"],
        ]  # fmt: skip
        assert ended.returncode == 1


def test_the_machine_of_the_last_call_waits_and_only_the_right_one_is_taken(tmp_path, profiles, monkeypatch):
    cache, words = host.cache_folder(), ("test", str(tmp_path))
    wanted = programs.Wanted(("uname", "-r"), tmp_path, {"PATH": "/usr/bin"})

    def said(name):
        """Return what a kernel says that it is, and whether a machine was begun to be restored before it was known which."""
        out = bytearray()
        project = Project((), Matrix((profiles[name],)), tmp_path)
        with ahead.Ahead(cache, words) as waiting:
            waiting.begin()
            began = waiting.folder is not None
            runner = programs.Programs(project, cache, print, waiting)
            outcome = runner.run(wanted, project.matrix.profiles[0], {"stdout": out.extend, "stderr": out.extend})
        assert outcome.wait_status == 0
        return out.decode(), began

    first, began = said(KERNELS[0])
    assert (first[:5], began) == ("5.10.", False)
    with monkeypatch.context() as patched:
        patched.setattr(bootimage, "restore", None)  # it would be called for another one
        assert said(KERNELS[0]) == (first, True)
    real, failures = bootimage.Restored.resume, [NoVerdict(Classification.HOST_FAILURE, "QEMU died.")]

    def resume(restored):
        if failures:
            restored.stop()
            raise failures.pop()
        real(restored)

    with monkeypatch.context() as patched:
        patched.setattr(bootimage.Restored, "resume", resume)
        assert said(KERNELS[0]) == (first, True)
    assert not failures
    other, began = said(KERNELS[1])
    assert (other[:4], began) == ("6.1.", True)
    assert said(KERNELS[1]) == (other, True)
    assert machines_of(cache / "exec") == []


def test_nothing_is_left_when_the_reader_goes_or_we_are_ended(tmp_path):
    line = [sys.executable, "-m", "bpfcompat", "exec", "--kernel", KERNEL, "--", "yes"]
    for end, code in ((None, 141), (signal.SIGTERM, 130), (signal.SIGKILL, -9)):
        with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE) as child:
            assert child.stdout.read(2) == b"y\n"
            if end:
                child.send_signal(end)
                while child.stdout.read(1 << 16):  # a reader that went at the same time might be noticed first
                    pass
            child.stdout.close()
            assert child.wait() == code
        while machines_of(f"exec.{child.pid}."):  # the kernel ends them with us, if not in the same moment
            threading.Event().wait(0.01)


def test_what_is_collected_stands_here_afterwards_also_of_a_program_that_dies(tmp_path):
    (tmp_path / "seen").write_text("old\n")
    script = "mkdir -p out/a; echo x > out/a/b; echo new > seen; echo y > other; kill -SEGV $$"
    flags = ("--kernel", KERNEL, "--collect", "out/**", "--collect", "seen", "--collect", "core.*")
    assert run("sh", "-c", script, cwd=tmp_path, flags=flags).returncode == 128 + signal.SIGSEGV
    assert ((tmp_path / "out/a/b").read_text(), (tmp_path / "seen").read_text()) == ("x\n", "new\n")
    assert [path.read_bytes()[:4] for path in tmp_path.glob("core.sh.*")] == [b"\x7fELF"]
    assert not (tmp_path / "other").exists()


def test_nothing_is_written_where_a_link_leads_away(tmp_path):
    """A guest may hand out whatever it likes under names that were asked for."""
    away = tmp_path.parent / f"{tmp_path.name}-away"
    away.mkdir()
    (tmp_path / "link").symlink_to(away)
    script = "rm link; mkdir link; echo evil > link/file"
    ended = run("sh", "-c", script, cwd=tmp_path, flags=("--kernel", KERNEL, "--collect", "**"))
    assert (ended.returncode, "was not asked for" in ended.stderr.decode()) == (125, True), ended.stderr
    assert list(away.iterdir()) == []


@pytest.mark.skipif(not shutil.which("go"), reason="there is no Go toolchain here")
def test_go_test_runs_its_tests_by_it(tmp_path):
    (tmp_path / "go.mod").write_text("module example\n\ngo 1.19\n")
    (tmp_path / "one_test.go").write_text(
        'package example\n\nimport ("os"; "testing")\n\nfunc TestKernel(t *testing.T) {\n'
        '\tdata, err := os.ReadFile("/proc/version")\n\tif err != nil { t.Fatal(err) }\n\tt.Log(string(data[:13]))\n}\n\n'
        'func TestFails(t *testing.T) { t.Error("as it should") }\n'
    )
    wrapper = f"{sys.executable} -m bpfcompat exec --kernel {KERNEL} --"
    ended = subprocess.run(
        ["go", "test", "-v", "-coverprofile=cover", "-exec", wrapper, "./..."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert (tmp_path / "cover").read_text().startswith("mode: ")
    for line in ("--- PASS: TestKernel", "Linux version", "--- FAIL: TestFails", "FAIL\texample"):
        assert line in ended.stdout

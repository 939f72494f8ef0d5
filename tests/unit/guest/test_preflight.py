"""Loaders that can run on no kernel are found before any boot, and those that can are not."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bpfcompat.architecture import AMD64
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import libraries, payload, preflight, rootfs
from bpfcompat.model import Check
from bpfcompat.outcome import Classification
from tests.parts import KIT

USERLAND = preflight.Userland(lambda: frozenset({"bash", "sh", "env", "busybox"}))


def check(path, bundled=False, userland=USERLAND):
    preflight.check_loader(path, path, bundled, userland)


def static(change):
    program = bytearray(KIT.bash.read_bytes())
    change(program)
    return bytes(program)


def _machine(number):
    def change(program):
        program[18:20] = number.to_bytes(2, "little")

    return change


def _kind(number):
    def change(program):
        program[16:18] = number.to_bytes(2, "little")

    return change


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello", "neither an ELF program nor a script"),
        (b"\x7fELF" + b"\0" * 10, "damaged"),
        (static(lambda program: program.__delitem__(slice(100, None))), "damaged"),
        (static(_machine(183)), "is a program for arm64, and this kernel is for amd64"),
        (static(_machine(243)), "is a program for RISCV, and this kernel is for amd64"),
        (static(_machine(3)), "32-bit"),
        (static(_kind(1)), "object file"),
        (static(_kind(4)), "not a program"),
        (Path("/bin/ls").read_bytes(), "needs /lib64/ld-linux-x86-64.so.2"),
        (b"#!/usr/bin/python3\n", "a script for /usr/bin/python3"),
        (b"#!/usr/bin/env python3\n", "a script for python3"),
        (b"#!/usr/bin/env -S python3 -u\n", "a script for python3"),
        (b"#!/opt/bash\n", "a script for /opt/bash"),
        (b"#!\n", "names no interpreter"),
        (b"#!/bin/bash\r\nexit 0\r\n", "line ends of Windows"),
    ],
)
def test_a_loader_that_can_run_nowhere_is_refused(tmp_path, content, words):
    loader = tmp_path / "loader"
    loader.write_bytes(content)
    with pytest.raises(NoVerdict, match=words) as refusal:
        check(loader)
    assert refusal.value.classification is Classification.LOADER_NOT_RUNNABLE
    assert refusal.value.hint


@pytest.mark.parametrize("line", ["#!/bin/sh", "#! /bin/bash -e", "#!/usr/bin/env bash", "#!/usr/bin/env -S bash -e"])
def test_scripts_for_what_the_guest_has_pass(tmp_path, line):
    (tmp_path / "script").write_text(f"{line}\n")
    check(tmp_path / "script")


def test_static_programs_pass_and_dynamic_ones_with_their_libraries():
    check(KIT.bash)
    check(KIT.busybox)
    check(Path("/bin/ls"), bundled=True)


def test_the_libraries_of_a_program_are_all_that_its_linker_finds():
    found = libraries.closure(Path("/bin/ls"), "/lib64/ld-linux-x86-64.so.2", AMD64)
    assert found["/lib64/ld-linux-x86-64.so.2"] == Path("/lib64/ld-linux-x86-64.so.2")
    assert any(Path(name).name == "libc.so.6" for name in found)
    assert all(path.is_file() for path in found.values())


def test_a_program_that_names_no_real_linker_runs_nothing_here(tmp_path):
    trap = tmp_path / "ld-linux-x86-64.so.2"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    trap.chmod(0o755)
    for name in (str(trap), f"/lib64/../{trap}"):
        with pytest.raises(NoVerdict, match="not a dynamic linker of this machine"):
            libraries.closure(Path("/bin/ls"), name, AMD64)
    assert not (tmp_path / "ran").exists()


def test_a_library_that_is_not_here_is_named(tmp_path):
    (tmp_path / "gone.c").write_text("int gone(void) { return 0; }\n")
    (tmp_path / "main.c").write_text("int gone(void);\nint main(void) { return gone(); }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "libgone.so", "gone.c"], cwd=tmp_path, check=True)
    subprocess.run(["gcc", "-o", "main", "main.c", "-L.", "-lgone"], cwd=tmp_path, check=True)
    (tmp_path / "libgone.so").unlink()
    with pytest.raises(NoVerdict, match=r"needs libgone\.so, which is not on this machine"):
        payload.measure(Check("x", binary=tmp_path / "main", bundle_libs=True))


def test_a_userland_of_the_project_s_own_is_looked_at_for_linker_libraries_and_interpreters(tmp_path):
    linker = preflight.interpreter(Path("/bin/true"))
    files = {"lib": "usr/lib", "usr": None, "usr/lib": None, "lib64": "/usr/lib64", "usr/lib64": None, "usr/bin": None}
    files[f"usr{linker}"] = None

    def refused(path, **more):
        own = preflight.Userland(USERLAND.programs, rootfs.Rootfs("x", {**files, **more}))
        with pytest.raises(NoVerdict) as caught:
            check(path, userland=own)
        return caught.value.message

    assert "needs libc.so.6, which guest.rootfs does not have" in refused(Path("/bin/true"))
    assert f"needs {linker}, which" in refused(Path("/bin/true"), **{f"usr{linker}": "/nowhere"})
    whole = rootfs.Rootfs(
        "x", {**files, "usr/lib/libc.so.6": None, "usr/bin/python3": "python3.11", "usr/bin/python3.11": None}
    )
    check(Path("/bin/true"), userland=preflight.Userland(USERLAND.programs, whole))
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/python3\n")
    check(script, userland=preflight.Userland(USERLAND.programs, whole))
    script.write_text("#!/usr/bin/perl\n")
    assert "is a script for /usr/bin/perl, which guest.rootfs does not have" in refused(script)
    assert not rootfs.Rootfs("x", {"a": "b", "b": "a"}).holds("/a")


def test_what_is_staged_is_what_is_looked_at(tmp_path, monkeypatch):
    """A loader that is rebuilt between two looks is judged by the bytes that are shipped."""
    loader = tmp_path / "loader"
    shutil.copy(KIT.busybox, loader)
    real = payload._copy

    def copy_another(entry, target):
        loader.write_bytes(b"")
        return real(entry, target)

    monkeypatch.setattr(payload, "_copy", copy_another)
    with pytest.raises(NoVerdict, match="is empty"):
        payload.stage(Check("x", binary=loader), tmp_path / "stage", USERLAND)


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("/nowhere"), lambda path: __import__("os").mkfifo(path), Path.mkdir]
)
def test_what_is_no_file_is_a_mistake(tmp_path, make):
    make(tmp_path / "loader")
    with pytest.raises(BpfcompatError, match=r"does not exist|is not a regular file|is a folder"):
        payload.measure(Check("x", binary=tmp_path / "loader"))


def test_a_link_to_a_loader_ships_the_loader(tmp_path):
    (tmp_path / "loader").symlink_to(KIT.busybox)
    found = payload.measure(Check("x", binary=tmp_path / "loader"))
    assert found.binary.size_bytes == KIT.busybox.stat().st_size
    assert found.binary.path.endswith("/bin/loader")

"""Hints beside commands, from what real loaders print: one each on libbpf (C), cilium/ebpf (Go) and aya (Rust), in tests/loaders."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bpfcompat.model import Check, Matrix, Project
from bpfcompat.outcome import Status
from bpfcompat.report import document
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

from .conftest import KERNELS

pytestmark = pytest.mark.slow

LOADERS, OBJECTS = (Path(__file__).parents[1] / name for name in ("loaders", "objects"))
OLD, MIDDLE, NEW = KERNELS


def fetched(command, folder):
    """Have a loader's libraries downloaded; skips where they cannot be had here, with the tool's own words."""
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]} here")
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        pytest.skip(f"{' '.join(command)}: {ended.stderr.strip().splitlines()[-1:]}")


def built(command, folder, **environment):
    """Build in a copy of a loader's folder; what does not compile is a failure."""
    subprocess.run(command, cwd=folder, env={**os.environ, **environment}, check=True)


@pytest.fixture(scope="session")
def loaders(tmp_path_factory):
    """The loaders of the languages whose toolchain is here, by language."""
    folder = tmp_path_factory.mktemp("loaders") / "all"
    shutil.copytree(LOADERS, folder, ignore=shutil.ignore_patterns("target"))

    def loader(language):
        if language == "c":
            # The kit's own compiler, where ./dev says it: Debian 13's libelf cannot be linked statically.
            compiler = os.environ.get("CC", "gcc").split()
            built([*compiler, "-O2", "-static", "-o", "loader", "loader.c", "-lbpf", "-lelf", "-lz"], folder / "c")
            return folder / "c" / "loader"
        if language == "go":
            fetched(["go", "mod", "download"], folder / "go")
            built(["go", "build", "-o", "loader", "."], folder / "go", CGO_ENABLED="0")
            return folder / "go" / "loader"
        fetched(["cargo", "fetch"], folder / "rust")
        built(["cargo", "build", "--release", "--offline"], folder / "rust")
        return folder / "rust" / "target" / "release" / "loader-rust"

    return loader


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    subprocess.run(["make", "-s", "-C", OBJECTS, f"OUT={folder}"], check=True)
    return folder


CASES = {
    # object: the kernel, what the loader's last word needs, and what each loader's hint says of it; None: it passes
    "loop": (OLD, "syscalls/sys_enter_getpgid", dict.fromkeys(("c", "go", "rust"), "upstream has bpf_loop since Linux 5.17")),
    "arena": (MIDDLE, "", dict.fromkeys(("c", "go", "rust"), "arena (Linux 6.9)")),
    "core_absent": (NEW, "syscalls/sys_enter_getpgid", dict.fromkeys(("c", "go", "rust"), "bpf_core_field_exists()")),
    "module_fentry": (NEW, "br_forward", dict.fromkeys(("c", "go", "rust"), "br_forward")),
    "kprobe_absent": (NEW, "bpfcompat_has_no_such_function", {**dict.fromkeys(("c", "go"), "no function bpfcompat"), "rust": "aya"}),
    "tracepoint_absent": (NEW, "syscalls/sys_enter_bpfcompat", dict.fromkeys(("c", "go", "rust"), "no tracepoint syscalls/")),
    "map_too_large": (MIDDLE, "", {**dict.fromkeys(("c", "go"), "write `memory: 2G`"), "rust": "refuses to make the map big"}),
    "sleepable": (MIDDLE, "__x64_sys_getpgid", dict.fromkeys(("c", "go", "rust"), "CONFIG_FUNCTION_ERROR_INJECTION")),
    "fentry_many": (MIDDLE, "do_mmap", dict.fromkeys(("c", "go", "rust"), "six before Linux 6.6")),
    "kprobe_multi": (MIDDLE, "", {"c": "CONFIG_FPROBE", "go": "Linux 5.18", "rust": "aya does not know the section"}),
    "xdp_frags": (OLD, "", dict.fromkeys(("c", "go", "rust"), "xdp.frags: Linux 5.18")),
    "kfunc": (MIDDLE, "", {**dict.fromkeys(("c", "go"), "does not offer bpf_rcu_read_lock"), "rust": "aya does not know"}),
    "lsm": (NEW, "file_open", dict.fromkeys(("c", "go", "rust"))),
    "restricted": (NEW, "syscalls/sys_enter_getpgid", dict.fromkeys(("c", "go", "rust"), "under the GPL")),
}  # fmt: skip


@pytest.mark.parametrize("language", ["c", "go", "rust"])
def test_a_real_loader_s_failure_has_its_hint(language, loaders, objects, profiles, tmp_path):
    loader = loaders(language)
    checks = tuple(
        Check(
            f"$BPFCOMPAT_BIN $BPFCOMPAT_ARTIFACT {target}", name=name, binary=loader, bundle_libs=language == "rust",
            artifact=objects / f"{name}.bpf.o",
        )
        for name, (_, target, _) in CASES.items()
    )  # fmt: skip
    session = Session(Project(checks, Matrix(tuple(profiles.values())), tmp_path / ".bpfcompat"), Options())
    try:
        found = engine.run(session)
    finally:
        session.close()
    rows = {(row["check"], row["profile_id"]): row for row in document.render(found, {"json": "x"})["targets"]}
    for name, (kernel, _, words) in CASES.items():
        row = rows[name, kernel]
        said = row["functional"]["tests"][0]["stderr_tail"]
        if words[language] is None:
            assert row["status"] == Status.PASS.value, (name, said)
        else:
            assert row["status"] == Status.FAIL.value, (name, said)
            assert any(words[language] in hint for hint in row["hints"]), (name, row["hints"], said)

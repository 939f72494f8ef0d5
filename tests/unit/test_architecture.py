"""Which architecture a kernel's name, a loader and a profile are of."""

import pytest

from bpfcompat import architecture
from bpfcompat.architecture import AMD64, ARM64
from bpfcompat.errors import BpfcompatError
from bpfcompat.project import load_project
from bpfcompat.vm import BOARDS
from bpfcompat.workflow import plan
from tests.parts import KIT


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("apt:bookworm/linux-image-cloud-arm64", ARM64),
        ("apt:trixie/linux-image-arm64-16k", ARM64),
        ("apt:bookworm/linux-image-amd64=6.1.1-1", AMD64),
        ("apt:trixie-backports/linux-image-6.18.*+deb13-rt-arm64", ARM64),
        ("apt:trixie/linux-image-*", None),
        ("apt:x/linux-image-amd64fs", None),
    ],
)
def test_the_names_of_debian_s_packages_say_it(name, found):
    assert architecture.named(name) is found


def test_every_architecture_has_a_board_and_is_found_by_its_programs():
    assert set(BOARDS) == set(architecture.ALL)
    assert all(architecture.of_elf(one.elf_number) is one for one in architecture.ALL.values())


@pytest.fixture
def project(tmp_path):
    loader = bytearray(KIT.busybox.read_bytes()[:64])
    (tmp_path / "amd64").write_bytes(loader)
    loader[18:20] = ARM64.elf_number.to_bytes(2, "little")
    (tmp_path / "arm64").write_bytes(loader)

    def load(text):
        (tmp_path / "bpfcompat.yaml").write_text(text)
        return load_project(tmp_path)

    return load


@pytest.mark.parametrize(
    ("row", "loader", "found"),
    [
        ("kernel: path:k", "binary: arm64", "arm64"),
        ("kernel: path:k", "binary: amd64", "amd64"),
        ("kernel: path:k", "binary: not-built-yet", architecture.host().name),
        ("kernel: path:k", "", architecture.host().name),
        ("{kernel: path:k, arch: amd64}", "binary: arm64", "amd64"),
        ("kernel: apt:bookworm/linux-image-arm64", "binary: amd64", "arm64"),
        ("kernel: apt:bookworm/linux-image-*", "binary: arm64", "arm64"),
    ],
)
def test_a_profile_is_of_what_it_says_else_of_what_its_loader_is(project, row, loader, found):
    row = row.strip("{}")
    (profile,) = project(f"command: x\n{loader}\nmatrix: [{{id: a, {row}}}]\n").matrix.profiles
    assert profile.arch == found


def test_a_name_and_an_architecture_that_contradict_each_other_are_refused(project):
    with pytest.raises(
        BpfcompatError, match=r"bpfcompat\.yaml:2: apt:b/linux-image-amd64 is a kernel for amd64, and `arch` says arm64"
    ):
        project("command: x\nmatrix: [{id: a, kernel: apt:b/linux-image-amd64, arch: arm64}]\n")


BOTH = "matrix: [{id: a, kernel: path:k, arch: amd64}, {id: b, kernel: path:k, arch: arm64}]\n"


def test_each_architecture_has_the_loader_that_is_built_for_it(project):
    made = project(
        f"command: x\nbinary: {{arm64: arm64, amd64: amd64}}\nartifact: {{amd64: amd64, arm64: arm64}}\n{BOTH}"
    )
    for job in plan(made):
        assert (job.check.arch, job.check.binary.name, job.check.artifact.name) == (job.profile.arch,) * 3
    assert made.checks[0].binary.name == architecture.host().name


def test_a_profile_whose_architecture_has_no_loader_is_refused(project):
    with pytest.raises(BpfcompatError, match=r":2: `binary` has no file for arm64, which the profile 'b' is of"):
        project(f"command: x\nbinary: {{amd64: amd64}}\n{BOTH}")
    with pytest.raises(BpfcompatError, match=r":2: `binary` has no file for arm64"):
        project(f"checks: [{{name: a, command: x}},\n  {{name: b, command: y, binary: {{amd64: amd64}}}}]\n{BOTH}")

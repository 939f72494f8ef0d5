"""Every case on the oldest and the newest kernel, restored and booted anew."""

from pathlib import Path

import pytest

from bpfcompat.model import Matrix, Project
from bpfcompat.project import matrix
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

from .cases import CASES

KERNELS = ("debian-11-5.10", "debian-13-backports")


@pytest.mark.guest
@pytest.mark.parametrize("boot", ["warm", "cold"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_case(tmp_path, kernel, boot):
    profiles = tuple(profile for profile in matrix.load("mvp", Path()).profiles if profile.id == kernel)
    checks = tuple(case.check(tmp_path) for case in CASES)
    session = Session(Project(checks, Matrix(profiles), tmp_path / "work", boot=boot), Options())
    try:
        run = engine.run(session)
    finally:
        session.close()
    assert {target.record.boot for target in run.targets} == {boot}
    problems = [case.problems(target.record) for case, target in zip(CASES, run.targets, strict=True)]
    assert [line for lines in problems for line in lines] == []


def test_names_are_unique():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)

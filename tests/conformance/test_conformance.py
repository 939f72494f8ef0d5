"""The quick cases on the newest kernel, restored; where there is time, all of them, on the oldest, booted anew, on the kernels
between, and on arm64."""

from pathlib import Path

import pytest

from bpfcompat import architecture
from bpfcompat.model import Matrix, Project
from bpfcompat.project import matrix
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

from .cases import CASES

EDGES = ("debian-11-5.10", "debian-13-backports")
BETWEEN = ("debian-12-6.1", "debian-13-6.12", "debian-13-6.18")
ARM64 = tuple(f"{kernel}-arm64" for kernel in EDGES)
QUICK = [case for case in CASES if not case.slow]
SLOW = [case for case in CASES if case.slow]


def ways():
    """Yield each kernel, how it is booted, and the cases: those for every change, those that CI adds, and the rest."""
    yield pytest.param(EDGES[1], "warm", QUICK, id=f"{EDGES[1]}-warm-quick")
    yield pytest.param(EDGES[1], "warm", SLOW, id=f"{EDGES[1]}-warm-slow", marks=pytest.mark.slow)
    yield pytest.param(EDGES[0], "warm", CASES, id=f"{EDGES[0]}-warm", marks=pytest.mark.slow)
    for kernel, boot in [
        *((kernel, "warm") for kernel in (*BETWEEN, *ARM64)),
        *((kernel, "cold") for kernel in (*EDGES, *BETWEEN, *ARM64)),
    ]:
        yield pytest.param(kernel, boot, CASES, id=f"{kernel}-{boot}", marks=pytest.mark.long)


@pytest.mark.guest
@pytest.mark.parametrize(("kernel", "boot", "cases"), [*ways()])
def test_every_case(tmp_path, kernel, boot, cases):
    profiles = tuple(profile for profile in matrix.load("mvp-both", Path()).profiles if profile.id == kernel)
    guest = architecture.of(profiles[0].arch)
    cases = [case for case in cases if case.only in ("", guest.name)]
    checks = tuple(case.check(tmp_path, guest) for case in cases)
    session = Session(Project(checks, Matrix(profiles), tmp_path / "work", boot=boot), Options())
    try:
        run = engine.run(session)
    finally:
        session.close()
    assert {target.record.boot for target in run.targets} == {boot}
    assert {target.record.outcome.observed.machine for target in run.targets if target.record.outcome.observed} == {
        guest.uname
    }
    problems = [case.problems(target.record) for case, target in zip(cases, run.targets, strict=True)]
    assert [line for lines in problems for line in lines] == []


def test_names_are_unique():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)

"""Machines that are restored before their jobs come tell the same as those that are restored for them."""

import os
import signal
import time
from contextlib import closing

import pytest

from bpfcompat.model import Check, Matrix, Project
from bpfcompat.outcome import Status
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session
from bpfcompat.workflow.standby import Standby

from .conftest import KERNELS, machines_of
from .test_warm import COMMANDS, told


@pytest.fixture
def project(tmp_path, profiles):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("content\n")
    checks = tuple(
        Check(command, name=f"c{number}", root=tmp_path, files=(tmp_path / "data",))
        for number, command in enumerate(COMMANDS)
    )
    return Project(checks, Matrix((profiles[KERNELS[1]],)), tmp_path / ".bpfcompat")


def records(project, standby):
    session = Session(project, Options(force=True, jobs=1), standby=standby)
    try:
        return [target.record for target in engine.run(session).targets]
    finally:
        session.close()


def waited(record):
    return "/standby." in record.qemu_command


@pytest.mark.slow
def test_they_tell_the_same(project, tmp_path):
    with closing(Standby(project.workdir / "tmp", 0)) as none, closing(Standby(project.workdir / "tmp", 2)) as standby:
        records(project, none)  # with it come boot images
        without, those = records(project, none), records(project, standby)
        assert not any(map(waited, without))
        assert all(map(waited, those))
        for one, other in zip(without, those, strict=True):
            assert told(one) == told(other), one.job
        assert {record.verdict.status for record in those} == {Status.PASS, Status.FAIL}
    assert not machines_of(tmp_path)
    assert not list((project.workdir / "tmp").iterdir())


@pytest.mark.slow
def test_one_that_was_killed_meanwhile_is_not_missed(project, tmp_path, profiles):
    with closing(Standby(project.workdir / "tmp", 1)) as standby:
        records(project, standby)
        session, profile = Session(project, standby=standby), profiles[KERNELS[1]]
        session.check_inputs()
        standby.expect([(session.machines.machine(profile), session.boot_images.get(profile))])
        while not (waiting := machines_of(tmp_path)):
            time.sleep(0.01)
        os.kill(waiting[0], signal.SIGKILL)
        found = records(project, standby)
    assert sum(map(waited, found)) == len(COMMANDS) - 1
    assert {record.boot for record in found} == {"warm"}

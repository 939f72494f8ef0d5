"""In which order a run does things, and what it tells meanwhile."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bpfcompat.model import Check, Matrix, Project
from bpfcompat.project import matrix
from bpfcompat.report.progress import Progress
from bpfcompat.vm import bootimage
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

MVP = matrix.load("mvp", Path()).profiles


def rows(project, **options):
    told = io.StringIO()
    session = Session(project, Options(**options))
    try:
        engine.run(session, Progress(told))
    finally:
        session.close()
    return [line.split()[0] for line in told.getvalue().splitlines()]


@pytest.mark.parametrize("failing", [profile.id for profile in MVP[::2]])
def test_the_kernel_that_failed_last_time_comes_first(tmp_path, failing):
    release = {"debian-11-5.10": "5.10", "debian-13-6.12": "6.12", "debian-13-backports": "7"}[failing]
    project = Project((Check(f"! uname -r | grep ^{release}"),), Matrix(MVP), tmp_path)
    rows(project)
    assert rows(project, force=True, jobs=1)[0] == failing


@pytest.mark.slow
def test_verdicts_come_while_images_are_still_being_made(tmp_path, own_images, monkeypatch):
    project = Project((Check("true"),), Matrix(MVP), tmp_path)
    rows(project, jobs=1)  # so that what is missing afterwards is the images alone
    bootimage.prune(own_images, 0)
    finished, real = [], bootimage.save

    def save(*arguments):
        took = real(*arguments)
        finished.append(None)
        return took

    monkeypatch.setattr(bootimage, "save", save)
    made_before_first_row = []

    class Watching(Progress):
        def row(self, target):
            made_before_first_row.append(len(finished))

    session = Session(project, Options(force=True, jobs=1))
    try:
        engine.run(session, Watching(io.StringIO()))
    finally:
        session.close()
    assert len(finished) == len(MVP)
    assert made_before_first_row[0] < len(MVP)


def run_on_terminal(folder, **environment):
    """Run the project with a terminal for stdout and stderr; return all that was written to it."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "bpfcompat", "run", "--force"],
        cwd=folder, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # EIO: nobody holds the other end any more
            break
    os.close(ours)
    child.wait()
    return said.decode()


def test_a_terminal_shows_what_goes_on_and_honours_no_color(tmp_path):
    (tmp_path / "bpfcompat.yaml").write_text("command: 'true'\nmatrix: quick\n")
    said = run_on_terminal(tmp_path)
    assert re.search(r"\[\d/3\] running debian-", said)
    assert "\x1b[32mpass\x1b[0m" in said
    assert not re.search(r"\x1b\[3\dm", run_on_terminal(tmp_path, NO_COLOR="1"))
    assert "\x1b" not in run_on_terminal(tmp_path, TERM="dumb")
    piped = subprocess.run(
        [sys.executable, "-m", "bpfcompat", "run", "--force"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "\x1b" not in piped.stdout + piped.stderr
    assert "\r" not in piped.stdout + piped.stderr
    assert re.fullmatch(r"(debian-\S+  pass \(\d+\.\d\d s\)\n){3}", piped.stderr)

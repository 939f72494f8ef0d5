"""action.yml and the CI files among the examples: their steps run where runners run them, and actionlint reads them.

What `uses:` names is GitHub's and is not run here: the cache and the upload were never tried.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from . import roots
from .test_hosts import shared  # noqa: F401

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
EXAMPLES = ROOT / "examples" / "ci"
PROJECT = """
command: "[ $(uname -r | cut -d. -f1) -ge 6 ]"
matrix:
  - {id: old, kernel: apt:bullseye/linux-image-cloud-amd64}
  - {id: new, kernel: apt:bookworm/linux-image-cloud-amd64}
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap and chroot need root; CI is root")


class Runner:
    """As much of GitHub's runner as composite actions need: expressions, conditions, and the files that steps write to."""

    def __init__(self, run, folder, inputs, user):
        self._run, self._folder, self._user = run, folder, user
        defaults = {name: str(given.get("default", "")) for name, given in ACTION["inputs"].items()}
        self.inputs = {**defaults, **inputs}
        self.failed, self.outputs, self.said, self.used = False, {}, "", []
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("path", "output", "summary"):
            (folder / name).touch()
        for path in (folder, *folder.iterdir()):
            path.chmod(0o777)

    def value(self, text):
        def one(found):
            expression = found[1].strip().replace("||", " or ").replace("&&", " and ")
            names = {
                "github.action_path": "/shared/action", "runner.temp": "/shared/runner", "runner.os": "Linux",
                **{f"inputs.{name}": value for name, value in self.inputs.items()},
            }  # fmt: skip
            words = re.sub(r"(?:inputs|github|runner)\.[\w-]+", lambda word: repr(names[word[0]]), expression)
            return str(eval(words.replace("always()", "True")))

        return re.sub(r"\$\{\{(.*?)\}\}", one, str(text))

    def step(self, number, step):
        condition = step.get("if", "success()")
        if (self.failed and "always()" not in condition) or self.value(
            f"${{{{ {condition} }}}}".replace("success()", "True")
        ) == "False":
            return
        if "uses" in step:
            self.used.append(step["uses"])
            return
        script = self._folder / f"{number}.sh"
        script.write_text(step["run"])
        paths = ":".join([*reversed((self._folder / "path").read_text().split()), "$PATH"])
        given = {name: self.value(value) for name, value in step.get("env", {}).items()}
        exports = "".join(f'export {name}="{value}"; ' for name, value in given.items())
        ran = self._run(
            f"cd /shared/{self.value(step.get('working-directory', '.'))}; export RUNNER_TEMP=/shared/runner"
            " GITHUB_PATH=/shared/runner/path GITHUB_OUTPUT=/shared/runner/output GITHUB_STEP_SUMMARY=/shared/runner/summary;"
            f' {exports} PATH="{paths}" exec bash --noprofile --norc -eo pipefail /shared/runner/{number}.sh', self._user
        )  # fmt: skip
        self.said += ran.stdout + ran.stderr
        self.failed = self.failed or ran.returncode != 0

    def all(self):
        for number, step in enumerate(ACTION["runs"]["steps"]):
            self.step(number, step)
        self.outputs = dict(line.split("=", 1) for line in (self._folder / "output").read_text().splitlines())
        return self


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("user", ["root", "tester"])
def test_the_steps_of_the_action_on_an_imitated_ubuntu(shared, user):  # noqa: F811
    project = shared / f"action-{user}"
    project.mkdir()
    project.chmod(0o777)
    (project / "bpfcompat.yaml").write_text(PROJECT)
    (wheel,) = shared.glob("*.whl")
    inputs = {"wheel": f"/shared/{wheel.name}", "directory": project.name}
    with roots.entered(roots.made("ubuntu"), shared) as run:
        ran = Runner(run, shared / "runner", {**inputs, "arguments": "--profile new --profile 'ne*'"}, user).all()
        assert not ran.failed, ran.said
        assert ran.outputs == {"exit-code": "0", "report": "/shared/runner/bpfcompat-reports/report.json"}
        assert "1 passed" in (shared / "runner" / "summary").read_text()
        assert "::error" not in ran.said
        assert [name.split("@")[0] for name in ran.used] == ["actions/cache", "actions/upload-artifact"]

        ran = Runner(run, shared / "runner", inputs, user).all()
        assert ran.failed
        assert ran.outputs["exit-code"] == "2"
        assert "::error title=fail on old::Command exited 1" in ran.said, ran.said
        assert "1 passed, 1 failed" in (shared / "runner" / "summary").read_text()
        for name in ("report.json", "junit.xml", "report.html"):
            assert (shared / "runner" / "bpfcompat-reports" / name).stat().st_size

        ran = Runner(run, shared / "runner", {**inputs, "run": "false"}, user).all()
        assert not ran.failed, ran.said
        assert ran.outputs == {}
        assert (shared / "runner" / "path").read_text() == "/shared/runner/bpfcompat/bin\n"


@pytest.mark.slow
@needs_root
def test_the_gitlab_example_on_an_imitated_ubuntu(shared):  # noqa: F811
    job = yaml.safe_load((EXAMPLES / "gitlab.yml").read_text())["kernels"]
    project = shared / "gitlab"
    project.mkdir()
    (project / "bpfcompat.yaml").write_text(PROJECT.replace("-ge 6", "-ge 5"))
    # The packages are there, and this root's sources are of a suite that does not exist; pip and what follows run as they stand.
    install, *rest = job["before_script"]
    assert install.endswith("qemu-system-x86 e2fsprogs python3-venv")
    with roots.entered(roots.made("ubuntu"), shared) as run:
        lines = "; ".join(f"{{ {line}; }}" for line in (*rest, *job["script"]))
        ran = run(
            f"cd /shared/gitlab; cp /shared/bpfcompat-*.whl .; export BPFCOMPAT_WHEEL={job['variables']['BPFCOMPAT_WHEEL']}; {lines}"
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    for path in (job["artifacts"]["reports"]["junit"], *job["artifacts"]["paths"]):
        assert (project / path).exists(), path


@pytest.mark.skipif(
    shutil.which("go") is None, reason="actionlint comes from the Go module proxy, and this machine has no Go"
)
def test_actionlint_finds_nothing(tmp_path):
    lint = tmp_path / "bin" / "actionlint"
    module = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
    subprocess.run(
        ["go", "install", module], env={**os.environ, "GOBIN": str(lint.parent)}, check=True, capture_output=True
    )
    repository = tmp_path / "repository"
    (repository / ".github" / "workflows").mkdir(parents=True)
    shutil.copy(ROOT / "action.yml", repository)
    for name in ("github.yml", "github-go.yml"):
        text = (EXAMPLES / name).read_text()
        # As a local action, actionlint reads its inputs, outputs and steps, too.
        (repository / ".github" / "workflows" / name).write_text(text.replace("OWNER/bpfcompat@main", "./"))
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    ran = subprocess.run([lint, "-no-color"], cwd=repository, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")
    # It does read the action: an input that is not there is told.
    wrong = (repository / ".github/workflows/github.yml").read_text().replace("artifact:", "artefact:")
    (repository / ".github/workflows/github.yml").write_text(wrong)
    ran = subprocess.run([lint, "-no-color"], cwd=repository, capture_output=True, text=True, check=False)
    assert 'input "artefact" is not defined' in ran.stdout

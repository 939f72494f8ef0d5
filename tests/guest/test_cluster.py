"""Jobs on other machines: what comes back is what one machine finds out, whatever becomes of workers, scheduler and coordinator."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bpfcompat.guest.kit import contents
from tests.parts import KIT

from .cluster import Cluster, SlowLine, machines_below, report, wait_until

pytestmark = pytest.mark.slow

TOOL = (sys.executable, "-m", "bpfcompat")
ENDINGS = (
    "true",
    "exit 3",
    "echo $RANDOM-; kill -9 $$",
    "wc -c data; cat words",
    "echo out; echo err >&2; false",
    "uname -r | grep ^6",
    "head -c 300000 /dev/zero; echo file >out.sh; chmod +x out.sh",
    "exit 200",
    "cat missing",
    "seq 5",
)
MANY = tuple(f"{ENDINGS[number % len(ENDINGS)]} # {number}" for number in range(67))


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path / "machines")
    made.scheduler()
    yield made
    made.close()


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """The cache of a worker that has run something on the kernel of ONE."""
    folder = tmp_path_factory.mktemp("used")
    made = Cluster(folder / "machines")
    try:
        made.scheduler()
        made.worker("one")
        (folder / "bpfcompat.yaml").write_text(f"command: 'true'\nmatrix: {ONE}\n")
        done = run(folder, "--cluster", made.address, "--offline")
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.move(made.cache("one"), folder / "cache")
    finally:
        made.close()
    return folder / "cache"


@pytest.fixture
def used_cluster(cluster, used):
    """A cluster whose workers have run something before."""
    cluster.used = used
    return cluster


@pytest.fixture
def project(tmp_path):
    def write(*commands, name="project", more="", matrix="quick"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "data").write_bytes(bytes(range(256)) * 4000)
        (folder / "words").write_text("here\n")
        checks = "".join(
            f"  - {{name: c{number}, command: {json.dumps(command)}}}\n" for number, command in enumerate(commands)
        )
        (folder / "bpfcompat.yaml").write_text(
            f"files: [data, words]\ntimeout: 900s\nchecks:\n{checks}matrix: {matrix}\n{more}"
        )
        return folder

    return write


@pytest.fixture
def begin():
    """Begin runs, which end with the test at the latest."""
    children = []

    def start(folder, *words):
        child = subprocess.Popen(
            [*TOOL, "run", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


ONE = "[{id: a, kernel: 'apt:bookworm/linux-image-cloud-amd64'}]"
TWO = ONE[:-1] + ", {id: b, kernel: 'apt:bullseye/linux-image-cloud-amd64'}]"
ENDLESS = ("sleep 800", "sleep 801")
THREE = ("--resources", "guests=3")
"""Of a worker that runs them beside another."""


def run(folder, *words, **environment):
    return subprocess.run(
        [*TOOL, "run", *words], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def stored(folder):
    return list((folder / ".bpfcompat").glob("verdicts/*/*.json"))


def rows(folder):
    return {f"{row['profile_id']}/{row['check']}": row for row in report(folder)["targets"]}


def exit_codes(folder):
    return [row["functional"]["tests"][0]["exit_code"] for row in report(folder)["targets"]]


def workers(folder):
    return {row["worker"].split()[0] for row in report(folder)["targets"]}


def logs(row):
    return {name: Path(row[f"{name}_log"]).read_bytes() for name in ("stdout", "stderr")}


def found_out(row):
    test = row["functional"]["tests"][0]
    volatile = ("duration_ms", "max_rss_kib")
    return {
        "key": row["key"], "status": row["status"], "code": row.get("classification_code"), "reason": row.get("classification_reason"),
        "host": row["host"], "kernel": row["kernel"], "boot": row["boot"], "hints": row["hints"],
        "test": {name: value for name, value in test.items() if name not in volatile and "RANDOM" not in test["command"]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("commands", "matrix", "kernels"),
    [(ENDINGS, TWO, 2), pytest.param(MANY, "quick", 3, marks=pytest.mark.long)],
    ids=["20", "201"],
)
def test_the_verdicts_are_those_of_one_machine(cluster, project, commands, matrix, kernels):
    for name in ("one", "two"):
        cluster.worker(name)
    there, here = (
        project(*commands, name=name, matrix=matrix, more="collect: [out.*]\n") for name in ("there", "here")
    )
    done = run(there, "--cluster", cluster.address, "--offline")
    alone = run(here)
    assert done.returncode == alone.returncode == 2, done.stderr
    ours, theirs = rows(there), rows(here)
    assert list(ours) == list(theirs)
    assert len(ours) == kernels * len(commands)
    collected = 0
    for name, row in ours.items():
        assert found_out(row) == found_out(theirs[name])
        if "RANDOM" not in row["functional"]["tests"][0]["command"]:
            assert logs(row) == logs(theirs[name])
        evidence = Path(row["console_log"]).parent
        assert evidence.is_relative_to(there / ".bpfcompat" / "evidence")
        assert Path(row["console_log"]).exists()
        for path in evidence.glob("collected/*"):
            collected += 1
            assert path.read_text() == "file\n"
            assert path.stat().st_mode & 0o111
    assert collected == sum("out.sh" in command for command in commands) * kernels
    assert workers(there) == {"one", "two"}
    assert not [name for name in ("one", "two") if len(cluster.boot_images(name)) > kernels]
    assert not cluster.guests()
    assert report(there)["summary"] == report(here)["summary"]

    # What is stored is there without the cluster, and what is not is told in a sentence.
    cluster.kill("scheduler")
    assert "nothing booted" in run(there, "--cluster", cluster.address).stdout
    gone = run(there, "--cluster", cluster.address, "--force")
    assert gone.returncode == 1
    assert f"there is no scheduler at {cluster.address}" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_what_runs_is_told_as_on_one_machine(used_cluster, project):
    used_cluster.worker("one")
    folder = project("echo hello", matrix=ONE)
    done = run(folder, BPFCOMPAT_CLUSTER=used_cluster.address)
    assert done.stderr.startswith("a  pass (")
    assert " on one on " in done.stderr
    assert "one on " in done.stdout
    told = subprocess.run([*TOOL, "logs", "a", "--stdout"], cwd=folder, capture_output=True, text=True, check=True)
    assert "hello" in told.stdout


def test_a_worker_that_is_killed_costs_a_rerun_and_no_verdict(used_cluster, project, begin):
    for name in ("one", "two"):
        used_cluster.worker(name)
    folder = project(*(f"sleep 4; exit {number}" for number in range(4)), matrix=ONE)
    child = begin(folder, "--cluster", used_cluster.address, "--offline")
    wait_until(lambda: len(used_cluster.guests()) == 2)
    used_cluster.kill("one")
    _, errors = child.communicate()
    assert child.returncode == 2, errors
    assert exit_codes(folder) == list(range(4))
    wait_until(lambda: not used_cluster.guests())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_whose_only_worker_is_ended_waits_for_the_next(used_cluster, project, begin, number):
    used_cluster.worker("one")
    folder = project("sleep 6; exit 3", matrix=ONE)
    child = begin(folder, "--cluster", used_cluster.address, "--offline")
    wait_until(used_cluster.guests)
    used_cluster.kill("one", number)
    wait_until(lambda: not machines_below(used_cluster.folder / "one"))
    used_cluster.worker("two")
    _, errors = child.communicate()
    assert child.returncode == 2, errors
    assert exit_codes(folder) == [3]
    assert workers(folder) == {"two"}


def test_without_its_scheduler_a_run_ends_with_a_sentence_and_what_is_known(used_cluster, project, begin):
    used_cluster.worker("one", *THREE, threads=3)
    folder = project("true", *ENDLESS, matrix=ONE)
    child = begin(folder, "--cluster", used_cluster.address, "--offline")
    wait_until(lambda: stored(folder) and used_cluster.guests())
    used_cluster.kill("scheduler")
    said, errors = child.communicate()
    assert child.returncode == 1
    assert "Traceback" not in errors
    assert [row["status"] for row in report(folder)["targets"]] == ["pass", "infra_error", "infra_error"]
    assert f"the connection to the scheduler at {used_cluster.address} is lost" in said
    wait_until(lambda: not used_cluster.guests())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_when_the_coordinator_ends_no_guest_is_left(used_cluster, project, begin, number):
    used_cluster.worker("one", *THREE, threads=3)
    folder = project("true", *ENDLESS, matrix=ONE)
    child = begin(folder, "--cluster", used_cluster.address, "--offline")
    wait_until(lambda: stored(folder) and len(used_cluster.guests()) == 2)
    child.send_signal(number)
    if number != signal.SIGKILL:
        child.send_signal(signal.SIGINT)  # a second one changes nothing
    _, errors = child.communicate()
    wait_until(lambda: not used_cluster.guests())
    if number == signal.SIGKILL:
        assert child.returncode == -number
    else:
        assert child.returncode == 130, errors
        assert "Traceback" not in errors
        codes = [row.get("classification_code") for row in report(folder)["targets"]]
        assert codes == [None, "INTERRUPTED", "INTERRUPTED"]
    # And the workers are as good as before.
    other = project("true", name="other", matrix=ONE)
    assert run(other, "--cluster", used_cluster.address).returncode == 0


def test_a_worker_that_joins_late_gets_work(used_cluster, project, begin):
    used_cluster.worker("one")
    child = begin(project(*ENDLESS, matrix=ONE), "--cluster", used_cluster.address, "--offline")
    wait_until(used_cluster.guests)
    used_cluster.worker("two")
    wait_until(lambda: machines_below(used_cluster.folder / "two"))
    assert machines_below(used_cluster.folder / "one")
    assert child.poll() is None


@pytest.mark.long
def test_a_worker_whose_disk_is_full_costs_no_verdict(cluster, project, tmp_path):
    """Its cache is a file system of 3 MB: no kernel fits."""
    small = cluster.cache("full")
    small.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small], check=True)
    try:
        cluster.worker("full")
        alone = project("true", name="alone", matrix=ONE)
        done = run(alone, "--cluster", cluster.address, "--offline")
        assert done.returncode == 1
        assert "No space left on device" in done.stdout
        assert report(alone)["targets"][0]["classification_code"] == "HOST_FAILURE"

        cluster.worker("good")
        folder = project(*(f"exit {number}" for number in range(4)), matrix=ONE)
        done = run(folder, "--cluster", cluster.address, "--offline")
        assert exit_codes(folder) == [0, 1, 2, 3], done.stdout
        assert workers(folder) == {"good"}
    finally:
        cluster.kill("full")
        wait_until(lambda: subprocess.run(["umount", small], capture_output=True, check=False).returncode == 0)


def other_kit(cluster, name):
    """Give a worker a kit with a file more."""
    target = cluster.cache(name) / "kit" / KIT.folder.name
    shutil.copytree(KIT.folder, target, symlinks=True)
    (target / "etc" / "motd").write_text("another\n")
    described = json.loads((target / "kit.json").read_text())
    (target / "kit.json").write_text(json.dumps({**described, "identity": contents.identity(target)}))


def test_a_worker_with_another_kit_gives_records_of_their_own_or_is_refused(cluster, project):
    other_kit(cluster, "other")
    cluster.worker("other", kit=False)
    folder = project("true", matrix=ONE)
    assert run(folder, "--cluster", cluster.address).returncode == 0
    theirs = report(folder)["targets"][0]["key"]
    assert run(folder).returncode == 0
    assert report(folder)["targets"][0]["key"] != theirs
    assert not report(folder)["targets"][0]["cached"]

    strict = project("true", name="strict", matrix=ONE, more=f"cluster: {{address: '{cluster.address}', same: true}}\n")
    done = run(strict)
    assert done.returncode == 1
    assert "is what this run needs" in done.stderr
    cluster.worker("same")
    assert run(strict).returncode == 0
    assert report(strict)["targets"][0]["worker"].startswith("same")


@pytest.mark.long
def test_a_slow_line_changes_no_verdict(cluster, project):
    line = SlowLine(cluster.port)
    near, cluster.port = cluster.port, line.port
    cluster.worker("far")
    cluster.port = near
    folder = project("exit 5", "head -c 300000 /dev/zero", matrix=ONE)
    done = run(folder, "--cluster", f"tcp://127.0.0.1:{line.port}")
    line.close()
    assert exit_codes(folder) == [5, 0], done.stderr
    assert report(folder)["targets"][1]["functional"]["tests"][0]["stdout_bytes"] == 300000


@pytest.mark.long
def test_with_keys_only_who_has_them_is_heard(tmp_path, project):
    subprocess.run([*TOOL, "cluster", "keys", "keys"], cwd=tmp_path, check=True, capture_output=True)
    keys = tmp_path / "keys"
    assert {path.name: path.stat().st_mode & 0o777 for path in keys.iterdir()} == dict.fromkeys(
        ("ca.pem", "cert.pem", "key.pem"), 0o600
    )
    words = ("--tls-ca-file", f"{keys}/ca.pem", "--tls-cert", f"{keys}/cert.pem", "--tls-key", f"{keys}/key.pem")
    cluster = Cluster(tmp_path / "machines", protocol="tls", words=words)
    try:
        cluster.scheduler()
        cluster.worker("one")
        folder = project("true", matrix=ONE, more=f"cluster: {{address: '{cluster.address}', tls: {keys}}}\n")
        assert run(folder).returncode == 0
        assert report(folder)["targets"][0]["worker"].startswith("one")
        for address in (cluster.address, cluster.address.replace("tls", "tcp")):
            other = project("true", name="without", matrix=ONE)
            done = run(other, "--cluster", address)
            assert done.returncode == 1
            assert "there is no scheduler at" in done.stderr or "needs keys" in done.stderr
            assert "Traceback" not in done.stderr
    finally:
        cluster.close()


@pytest.mark.long
def test_workers_that_are_killed_at_random_cost_no_verdict():
    done = subprocess.run(
        [sys.executable, "-m", "bench.soak_cluster", "120"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""The wheel on hosts that have Python, QEMU and e2fsprogs, and nothing else; what one finds out is a hit on the others.

`./dev hosts` tries all of them; a run of the whole suite tries the one that imitates Ubuntu.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bpfcompat import kernels
from bpfcompat.project import matrix
from bpfcompat.system import host

from . import roots

ROOT = Path(__file__).parents[2]
NAMES = os.environ.get("BPFCOMPAT_HOSTS", "ubuntu").split()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap and chroot need root; CI is root"),
]

PROJECT = """
checks:
  - {name: command, command: "uname -r && modprobe veth && ip link add v0 type veth && timeout 1 sleep 9; [ $? = 124 ]"}
  - {name: object, artifact: xdp.bpf.o}
matrix:
  - {id: oldest, kernel: apt:bullseye/linux-image-cloud-amd64}
  - {id: newest, kernel: apt:trixie-backports/linux-image-cloud-amd64}
"""


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """What every host is given: the wheel, a project, and a kernel as a file."""
    folder = tmp_path_factory.mktemp("shared")
    folder.chmod(0o755)
    subprocess.run([ROOT / "dev", "wheel", folder], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["make", "-s", "-C", ROOT / "tests/objects", f"OUT={folder / 'objects'}"], check=True)
    shutil.copy(folder / "objects" / "xdp.bpf.o", folder)
    profile = next(one for one in matrix.load("mvp", Path()).profiles if one.id == "debian-12-6.1")
    shutil.copy(kernels.fetch(profile, host.cache_folder()).image, folder / "vmlinux")
    (folder / "bpfcompat.yaml").write_text(PROJECT)
    (folder / "verdicts").mkdir(mode=0o777)
    (folder / "verdicts").chmod(0o777)
    return folder


def keys(report):
    return {row["profile_id"]: row["key"] for row in json.loads(report.read_text())["targets"]}


@pytest.fixture(scope="session")
def here(shared, tmp_path_factory):
    """The same project on this machine, from this clone."""
    folder = tmp_path_factory.mktemp("here")
    for name in ("bpfcompat.yaml", "xdp.bpf.o"):
        shutil.copy(shared / name, folder)
    ran = subprocess.run(
        ["bpfcompat", "run", "--out", "report.json"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    subprocess.run(["bpfcompat", "cache", "export", shared / "verdicts" / "here.tar.gz"], cwd=folder, check=True)
    return keys(folder / "report.json")


@pytest.mark.parametrize("user", ["root", "tester"])
@pytest.mark.parametrize("name", NAMES)
def test_a_host_with_two_packages(name, user, shared, here):
    with roots.entered(roots.made(name), shared) as run:

        def said(script, expect=0):
            ran = run(f"PATH=$HOME/v/bin:$PATH; {script}", user)
            assert ran.returncode == expect, f"{script}\n{ran.stdout}\n{ran.stderr}"
            return ran.stdout + ran.stderr

        said("rm -rf v p .cache && python3 -m venv v && v/bin/pip install --quiet /shared/bpfcompat-*.whl")
        assert "a project can run here" in said("bpfcompat doctor")
        # The first command of a newcomer, with an empty cache.
        assert "3 passed (3 run, 0 cached)" in said("mkdir p && cd p && bpfcompat test-command --cmd true --quick")
        result = f"/shared/verdicts/{name}-{user}"
        said(f"cd p && cp /shared/bpfcompat.yaml /shared/xdp.bpf.o . && bpfcompat run --out {result}.json")
        assert keys(shared / "verdicts" / f"{name}-{user}.json") == here
        said("cd p && rm -rf .bpfcompat && bpfcompat cache import /shared/verdicts/here.tar.gz")
        assert "nothing booted" in said("cd p && bpfcompat run")
        said(f"cd p && rm -rf .bpfcompat && bpfcompat run && bpfcompat cache export {result}.tar.gz")
        assert "wrong" not in said("cd p && bpfcompat test --artifact xdp.bpf.o --matrix quick")
        said(
            'cd p && printf "profiles: [{id: mine, kernel: path:/shared/vmlinux}]" > m.yaml'
            " && bpfcompat test-command --cmd true --matrix m.yaml"
        )
    # What it found out is a hit for everybody else.
    folder = shared / "verdicts" / f"{name}-{user}"
    folder.mkdir()
    for file in ("bpfcompat.yaml", "xdp.bpf.o"):
        shutil.copy(shared / file, folder)
    subprocess.run(["bpfcompat", "cache", "import", f"{folder}.tar.gz"], cwd=folder, check=True)
    ran = subprocess.run(["bpfcompat", "run"], cwd=folder, capture_output=True, text=True, check=False)
    assert "nothing booted" in ran.stdout, ran.stdout + ran.stderr

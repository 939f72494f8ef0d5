"""Real kernels in real QEMU; what they are made of is built and downloaded once, into the user's cache folder."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat import kernels
from bpfcompat.model import Check, Matrix, Project
from bpfcompat.project import matrix
from bpfcompat.system import host
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

from .packages import Keys

KERNELS = ("debian-11-5.10", "debian-12-6.1", "debian-13-backports")
"""The oldest, the most common and the newest 7.x."""
ARM64 = ("debian-11-5.10-arm64", "debian-13-backports-arm64")
"""The oldest and the newest of arm64."""

OBJECTS = Path(__file__).parents[1] / "objects"
EXAMPLE = Path(__file__).parents[2] / "examples" / "ringbuf"


def machines_of(folder):
    """The process ids of the machines whose payload is below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if b"qemu-system" in line and os.fsencode(folder) in line:
            found.append(int(process.name))
    return found


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.guest)


@pytest.fixture(scope="session")
def profiles():
    found = {profile.id: profile for profile in matrix.load("mvp-both", Path()).profiles}
    return {name: found[name] for name in (*KERNELS, *ARM64)}


@pytest.fixture
def verdicts(tmp_path, profiles):
    """Run commands, each on each of the named kernels, and return the records by kernel and command."""

    def run(*commands, kernels=KERNELS[1:2], options=None, machine=None, **check):
        checks = tuple(
            Check(command, name=f"c{number}", root=tmp_path, **check) for number, command in enumerate(commands)
        )
        chosen = Matrix(tuple(replace(profiles[name], **machine or {}) for name in kernels))
        session = Session(Project(checks, chosen, tmp_path / ".bpfcompat"), options or Options())
        try:
            result = engine.run(session)
        finally:
            session.close()
        return [target.record for target in result.targets]

    return run


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    """The folder of all compiled objects."""
    folder = tmp_path_factory.mktemp("objects")
    subprocess.run(["make", "-s", "-C", OBJECTS, f"OUT={folder}"], check=True)
    subprocess.run(["make", "-s", "-C", EXAMPLE], check=True)
    for path in (EXAMPLE / "build").glob("*.bpf.o"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Throw-away OpenPGP keys."""
    made = Keys(tmp_path_factory.mktemp("keys"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def shared_cache():
    """The user's, whatever a test may set later."""
    return host.cache_folder()


@pytest.fixture(scope="session")
def images_folder(shared_cache, tmp_path_factory):
    """A cache that shares all with the user's but the boot images."""
    folder = tmp_path_factory.mktemp("cache")
    for name in ("apt", "guest", "initramfs", "kernels", "keyrings", "kit", "pins", "rootfs", "tools"):
        (shared_cache / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(shared_cache / name)
    return folder


@pytest.fixture
def own_images(images_folder, monkeypatch):
    """Use a cache whose boot images are the tests' own, to damage and drop them while others use the user's."""
    monkeypatch.setenv("BPFCOMPAT_CACHE", str(images_folder))
    return images_folder


@pytest.fixture(scope="session")
def kernel(profiles):
    return kernels.fetch(profiles["debian-12-6.1"], host.cache_folder())


@pytest.fixture(scope="session")
def root(kernel, tmp_path_factory):
    """A kernel as its package unpacks it: what a guest needs of it."""
    folder = tmp_path_factory.mktemp("root")
    (folder / "boot").mkdir()
    shutil.copy(kernel.image, folder / "boot" / f"vmlinuz-{kernel.release}")
    shutil.copy(kernel.config, folder / "boot" / f"config-{kernel.release}")
    modules = folder / "lib" / "modules" / kernel.release / "kernel" / "drivers"
    modules.mkdir(parents=True)
    for path in kernel.modules:
        shutil.copy(path, modules / path.name.partition("-")[2])
    return folder


def debian_package(root, folder, name, *parts):
    """Make a Debian package of some of a kernel's folders."""
    tree = folder / name
    for part in parts:
        shutil.copytree(root / part, tree / part)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN").chmod(0o755)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: nobody <n@example.org>\nDescription: x\n"
    )
    package = folder / f"{name}_1_amd64.deb"
    subprocess.run(["dpkg-deb", "-Zgzip", "-b", tree, package], check=True, capture_output=True)
    return package


@pytest.fixture(scope="session")
def deb(root, tmp_path_factory):
    return debian_package(root, tmp_path_factory.mktemp("deb"), "linux-image-mine", "boot", "lib")

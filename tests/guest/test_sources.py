"""Kernels from every kind of source, each with a real kernel that is really booted."""

import gzip
import http.server
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat import kernels
from bpfcompat.errors import NoVerdict
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.sources import host as running
from bpfcompat.model import Check, Matrix, Profile, Project
from bpfcompat.outcome import Classification, Status
from bpfcompat.project import matrix
from bpfcompat.system import digest, host
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session
from tests.parts import KIT

from .conftest import debian_package

pytestmark = pytest.mark.slow

COMMAND = "uname -r; modprobe -n -v veth >/dev/null 2>&1; ls /lib/modules"


@pytest.fixture(scope="session")
def rpm(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rpm")
    (folder / "k.spec").write_text(
        "Name: kernel-core\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\nAutoReqProv: no\n"
        "%define __os_install_post %{nil}\n%define _build_id_links none\n%define _binaries_in_noarch_packages_terminate_build 0\n"
        f"%description\nx\n%install\ncp -a {root}/. %{{buildroot}}/\n%files\n/boot\n/lib/modules\n"
    )
    define = ["--define", f"_topdir {folder}/top", "--define", f"_tmppath {folder}/tmp"]
    subprocess.run(["rpmbuild", "-bb", "--quiet", *define, folder / "k.spec"], check=True, capture_output=True)
    (package,) = folder.rglob("*.rpm")
    return package


@pytest.fixture
def booted(tmp_path):
    """Run a command on a kernel of a source and return its record."""

    def run(name, **profile):
        made = Profile("mine", name, root=tmp_path, **profile)
        session = Session(Project((Check(COMMAND),), Matrix((made,)), tmp_path / "work"), Options(cold=True))
        try:
            (target,) = engine.run(session).targets
        finally:
            session.close()
        return target.record

    return run


def holds(record, kernel):
    assert record.verdict.status is Status.PASS, (record.verdict.reason, record.outcome.stderr.tail)
    assert record.outcome.stdout.tail.split() == [kernel.release, kernel.release]


def test_a_debian_package(booted, deb, kernel, tmp_path):
    shutil.copy(deb, tmp_path / "k.deb")
    holds(booted("deb:k.deb"), kernel)
    assert booted("deb:k.deb").cached
    os.utime(tmp_path / "k.deb")
    assert booted("deb:k.deb").cached, "the same content is the same kernel"


def test_a_kernel_in_two_packages(booted, root, kernel, tmp_path):
    debian_package(root, tmp_path, "linux-image-mine", "boot")
    debian_package(root, tmp_path, "linux-modules-mine", "lib")
    holds(booted("deb:linux-image-mine_1_amd64.deb", modules=("linux-modules-mine_1_amd64.deb",)), kernel)
    missing = booted("deb:linux-image-mine_1_amd64.deb", modules=("nothing.deb",))
    assert missing.verdict.classification is Classification.KERNEL_UNAVAILABLE
    assert "there is no file" in missing.verdict.reason


def test_an_rpm_package(booted, rpm, kernel):
    holds(booted(f"rpm:{rpm}"), kernel)


def test_an_unpacked_package_and_a_built_tree(booted, root, kernel, tmp_path):
    holds(booted(f"dir:{root}"), kernel)
    tree = tmp_path / "linux"
    (tree / "arch/x86/boot").mkdir(parents=True)
    shutil.copy(kernel.image, tree / "arch/x86/boot/bzImage")
    (tree / "drivers").mkdir()
    for path in kernel.modules:
        shutil.copy(path, tree / "drivers" / path.name.partition("-")[2])
    (tree / "modules.order").write_text(
        "".join(f"drivers/{path.stem}.o\n" for path in sorted((tree / "drivers").iterdir()))
    )
    record = booted("dir:linux")
    holds(record, kernel)
    first = record.kernel["modules_sha256"]
    with (tree / "drivers" / "virtio_blk.ko").open("ab") as module:
        module.write(b"\0")
    assert booted("dir:linux").kernel["modules_sha256"] != first, "a rebuilt module is another kernel"


def test_the_running_kernel(root, kernel, tmp_path, monkeypatch):
    monkeypatch.setattr("platform.release", lambda: kernel.release)
    found = running.fetch(Asked("", Profile("x", "host"), tmp_path, tmp_path), root)
    assert found.image == root / "boot" / f"vmlinuz-{kernel.release}"
    assert found.modules == root / "lib/modules" / kernel.release
    monkeypatch.setattr("platform.release", lambda: "0.0.0-none")
    with pytest.raises(NoVerdict, match=r"neither .*vmlinuz-0.0.0-none nor"):
        running.fetch(Asked("", Profile("x", "host"), tmp_path, tmp_path), root)


class _Shop(http.server.SimpleHTTPRequestHandler):
    """Serves one file: whole, or with half of what it promised."""

    def do_GET(self):
        data = self.server.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data if "whole" in self.path else data[: len(data) // 2])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def shop(deb):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Shop) as server:
        server.content = deb.read_bytes()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_url_whole_and_cut_off(booted, shop, kernel):
    holds(booted(f"deb:{shop}/whole/k.deb"), kernel)
    record = booted(f"deb:{shop}/half/k.deb")
    assert record.verdict.classification is Classification.KERNEL_UNAVAILABLE
    assert "bytes" in record.verdict.reason
    assert not list((host.cache_folder() / "tmp").glob(f"kernel.{os.getpid()}.*"))


@pytest.fixture
def registry(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    server = subprocess.Popen(
        ["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    server.kill()
    server.wait()


def push(name, folder, *layers):
    """Push an image of some layers, each a tar archive, to a registry; name: with host and tag."""
    layout = folder / "layout"
    (layout / "blobs" / "sha256").mkdir(parents=True)

    def blob(data, kind):
        sha256 = digest.of_bytes(data)
        (layout / "blobs" / "sha256" / sha256).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{sha256}", "size": len(data)}

    packed = [blob(gzip.compress(layer), "layer.v1.tar+gzip") for layer in layers]
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest.of_bytes(layer)}" for layer in layers]}
    described = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}})
    config = blob(described.encode(), "config.v1+json")
    kind = "application/vnd.oci.image.manifest.v1+json"
    listed = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": packed})
    named = {**blob(listed.encode(), "manifest.v1+json"), "annotations": {"org.opencontainers.image.ref.name": "1"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{name}"]
    subprocess.run(command, check=True, capture_output=True)


def test_an_image_of_a_registry(booted, registry, root, kernel, tmp_path):
    layer = subprocess.run(["tar", "-c", "-C", root, "boot", "lib"], capture_output=True, check=True).stdout
    push(f"{registry}/kernels:6.1", tmp_path, layer)
    record = booted(f"oci:{registry}/kernels:6.1")
    holds(record, kernel)
    assert "sha256:" in record.kernel["version"]
    missing = booted(f"oci:{registry}/kernels:7.0")
    assert missing.verdict.classification is Classification.KERNEL_UNAVAILABLE


def test_a_kernel_without_its_modules_is_still_a_kernel_in_the_listing(kernel, tmp_path):
    made = Profile("x", f"path:{kernel.image}", root=tmp_path)
    found = kernels.fetch(made, tmp_path / "cache")
    assert (found.modules, found.modules_disk, found.release) == ((), None, kernel.release)
    assert replace(made, kernel="path:nothing").kernel == "path:nothing"
    with pytest.raises(NoVerdict, match="there is no kernel image"):
        kernels.fetch(replace(made, kernel="path:nothing"), tmp_path / "cache")


def test_a_kernel_whose_modules_the_archive_has_dropped_runs_without_disks(tmp_path):
    """trixie-backports keeps the images of 6.19, 7.0 and 7.1, and no longer their modules; virtio_blk is one of these."""
    made = Profile("x", "apt:trixie-backports/linux-image-7.1.*+deb13-cloud-amd64")
    script = tmp_path / "script"
    script.write_text("#!/bin/bash\ncat data/file; bpftool prog list && ip link show lo >/dev/null; exit $1\n")
    script.chmod(0o755)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_bytes(b"\0binary\xff")
    checks = tuple(
        Check(f"$BPFCOMPAT_BIN {code}", f"c{code}", binary=script, files=(tmp_path / "data",), root=tmp_path)
        for code in (0, 3)
    )
    session = Session(Project(checks, Matrix((made,)), tmp_path / "work"), Options())
    try:
        first, second = (target.record for target in engine.run(session).targets)
    finally:
        session.close()
    assert (first.verdict.status, second.verdict.exit_code) == (Status.PASS, 3), first.outcome.stderr.tail
    assert (first.boot, first.outcome.observed.release[:4]) == ("cold", "7.1.")
    assert (tmp_path / "work" / first.evidence / "stdout.log").read_bytes() == b"\0binary\xff"
    assert "this kernel came without its modules" in first.outcome.notes


def test_a_module_that_is_added_anywhere_is_noticed(kernel, tmp_path):
    tree = tmp_path / "modules"
    (tree / "kernel" / "drivers").mkdir(parents=True)
    for path in kernel.modules:
        shutil.copy(path, tree / "kernel" / "drivers" / path.name.partition("-")[2])
    made = Profile("x", f"path:{kernel.image}", modules=("modules",), root=tmp_path)
    first = kernels.fetch(made, tmp_path / "cache")
    assert kernels.pinned(made, tmp_path / "cache") == first
    (tree / "updates").mkdir()
    shutil.copy(kernel.modules[0], tree / "updates" / "more.ko")
    assert kernels.pinned(made, tmp_path / "cache") is None
    assert kernels.fetch(made, tmp_path / "cache").modules_sha256 != first.modules_sha256


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("CONFIG_SERIAL_8250_CONSOLE=m\n", "a console on an 8250 serial port (CONFIG_SERIAL_8250_CONSOLE=y)"),
        ("# CONFIG_BLK_DEV_INITRD is not set\n", "an initramfs (CONFIG_BLK_DEV_INITRD=y)"),
        ("CONFIG_SERIAL_8250_RUNTIME_UARTS=1\n", "uses 1 serial ports, and a guest needs 4"),
    ],
)
def test_a_kernel_that_no_guest_can_run_on_is_refused_before_any_boot(kernel, tmp_path, config, words):
    name = config.replace("# ", "").partition("=")[0].partition(" ")[0]
    lines = [line for line in kernel.config.read_text().splitlines() if not line.startswith(f"{name}=")]
    (tmp_path / "config").write_text("\n".join([*lines, config]))
    made = Profile("x", f"path:{kernel.image}", config="config", root=tmp_path)
    with pytest.raises(NoVerdict, match=re.escape(words)):
        kernels.fetch(made, tmp_path / "cache")


def test_an_image_that_shows_no_serial_console_is_refused(kernel, tmp_path):
    (tmp_path / "vmlinux").write_bytes(kernel.image.read_bytes().replace(b"serial8250", b"serial9999"))
    with pytest.raises(NoVerdict, match="CONFIG_SERIAL_8250_CONSOLE"):
        kernels.fetch(Profile("x", "path:vmlinux", root=tmp_path), tmp_path / "cache")


def test_a_path_that_leads_out_of_a_package_is_refused(tmp_path):
    import tarfile

    from bpfcompat.kernels import unpack

    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        archive.addfile(tarfile.TarInfo("lib/modules/x/../../../../escape"))
    with pytest.raises(NoVerdict, match="leads out"):
        unpack.layer(evil, tmp_path / "out")
    assert not (Path(tmp_path) / "escape").exists()


def layer(**files):
    """A tar archive; two underscores stand for a slash."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def test_a_userland_of_a_registry(registry, tmp_path):
    """Two layers: the second takes a file of the first away, and replaces another."""
    busybox = KIT.busybox.read_bytes()
    push(
        f"{registry}/userland:1",
        tmp_path,
        layer(bin__busybox=busybox, bin__cat=busybox, bin__ls=busybox, etc__a=b"old\n", etc__b=b"gone\n"),
        layer(etc__a=b"new\n", **{"etc__.wh.b": b""}),
    )
    check = Check("cat /etc/a; ls /etc/b 2>/dev/null; [[ -e /bin/busybox && ! -e /usr/sbin/bpftool ]]")
    profile = next(one for one in matrix.load("mvp", Path()).profiles if one.id == "debian-12-6.1")
    for offline in (False, True):
        project = Project((check,), Matrix((profile,)), tmp_path / ".bpfcompat", rootfs=f"oci:{registry}/userland:1")
        session = Session(project, Options(offline=offline))
        try:
            (target,) = engine.run(session).targets
        finally:
            session.close()
        assert target.record.verdict.status is Status.PASS, target.record.outcome
        assert target.record.outcome.stdout.tail == "new"

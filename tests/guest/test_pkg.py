"""Kernels in Arch Linux' packages: laid out as theirs, with the signature in a file beside, checked and booted."""

import shutil
import subprocess

import pytest

from bpfcompat import kernels
from bpfcompat.errors import NoVerdict
from bpfcompat.model import Check, Matrix, Profile, Project
from bpfcompat.outcome import Status
from bpfcompat.system import digest
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

from .packages import tree_of
from .repositories import Shop, compressed

NAME = "linux-6.1.arch1-1-x86_64.pkg.tar.zst"


@pytest.fixture(scope="module")
def package(kernel, keys, tmp_path_factory):
    """Arch Linux' one package: all below usr/, without a configuration."""
    folder = tmp_path_factory.mktemp("arch")
    modules = f"usr/lib/modules/{kernel.release}"
    drivers = {name.partition("-")[2]: path for name, path in compressed(folder / "m", kernel.modules, "zst").items()}
    files = {f"{modules}/kernel/{name}": path for name, path in drivers.items()}
    files |= {f"{modules}/vmlinuz": kernel.image, f"{modules}/pkgbase": b"linux\n", ".PKGINFO": b"pkgname = linux\n"}
    tree = tree_of(folder / "t", files)
    subprocess.run(["bsdtar", "-C", tree, "--zstd", "-cf", folder / NAME, ".PKGINFO", "usr"], check=True)
    keys.public("vendor")
    keys.beside("vendor", folder / NAME)
    return folder / NAME


@pytest.fixture
def fetch(tmp_path):
    """Fetch a kernel into a cache of the test's own."""

    def fetch(what, source="pkg", **profile):
        return kernels.fetch(Profile("x", f"{source}:{what}", root=tmp_path, **profile), tmp_path / "cache")

    return fetch


def refused(tmp_path, fetch, words, *arguments, **profile):
    with pytest.raises(NoVerdict, match=words) as raised:
        fetch(*arguments, **profile)
    assert "\n" not in raised.value.message
    assert not list((tmp_path / "cache").glob("kernels/*"))
    assert not list((tmp_path / "cache" / "tmp").iterdir())
    return raised.value


@pytest.mark.slow
def test_a_package_of_arch_linux_is_checked_and_booted(package, keys, kernel, fetch, tmp_path):
    shop = Shop(package.parent)
    key = (str(keys.public("vendor")),)
    try:
        found = fetch(f"{shop.url}/{NAME}", keys=key)
    finally:
        shop.close()
    assert (found.has_disks, found.image_sha256, found.config) == (True, digest.of_file(kernel.image), None)
    assert sorted(shop.asked) == [f"/{NAME}", f"/{NAME}.sig"]
    profile = Profile("x", f"pkg:{package}", root=tmp_path, keys=key, sha256=(digest.of_file(package),))
    session = Session(Project((Check("uname -r"),), Matrix((profile,)), tmp_path / "work"), Options())
    try:
        (target,) = engine.run(session).targets
    finally:
        session.close()
    assert target.record.verdict.status is Status.PASS, target.record.verdict
    assert target.record.outcome.stdout.tail.strip() == kernel.release


def test_what_the_packager_did_not_sign_is_refused(package, keys, fetch, tmp_path):
    vendor, foreign, expired = (
        str(keys.public(name, "2026-02-01" if name == "expired" else "never"))
        for name in ("vendor", "foreign", "expired")
    )
    refused(tmp_path, fetch, r"is signed by the key [0-9A-F]{16}, which is not one of", package, keys=(foreign,))
    refused(tmp_path, fetch, "has the SHA-256 .*and `sha256:` says 000", package, sha256=("0" * 64,))
    copy = tmp_path / package.name
    copy.write_bytes(package.read_bytes())
    refused(tmp_path, fetch, "there is no file .*zst.sig", copy, keys=(vendor,))
    keys.beside("expired", copy)
    refused(tmp_path, fetch, "is signed by the key .*, which expired on 2026-02-01", copy, keys=(vendor, expired))
    shutil.copy(f"{package}.sig", f"{copy}.sig")
    assert fetch(copy, keys=(foreign, vendor)).has_disks
    shutil.rmtree(tmp_path / "cache" / "kernels")
    with copy.open("ab") as file:
        file.write(b"\0")
    refused(tmp_path, fetch, "is damaged or was changed", copy, keys=(vendor,))
    (tmp_path / f"{copy.name}.sig").write_text("<!DOCTYPE html>")
    refused(tmp_path, fetch, "has no signature beside it", copy, keys=(vendor,))


def test_a_package_that_is_cut_or_leads_out_of_its_root_is_refused(package, fetch, tmp_path):
    cut = tmp_path / "cut.pkg.tar.zst"
    cut.write_bytes(package.read_bytes()[: package.stat().st_size // 2])
    refused(tmp_path, fetch, "unpacking cut.pkg.tar.zst failed|is damaged", cut)
    evil = tmp_path / "evil.pkg.tar.zst"
    (tmp_path / "file").write_bytes(b"x")
    name = "s,^file$,usr/lib/modules/../../../../escape,"
    subprocess.run(["tar", "-C", tmp_path, "--zstd", "-P", "--transform", name, "-cf", evil, "file"], check=True)
    refused(tmp_path, fetch, "leads out of its folder", evil)
    assert not list(tmp_path.rglob("escape"))


def test_a_package_where_an_image_belongs_says_what_to_write(package, fetch, tmp_path):
    error = refused(tmp_path, fetch, "is a package, and path: names a kernel image", package, source="path")
    assert error.hint == f"write kernel: pkg:{package}"

"""Kernels of vendors, out of repositories of their forms: resolved, checked, stored, locked, booted, or refused whole."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from bpfcompat import architecture, kernels
from bpfcompat.cli import main
from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import facts, features, image, lock, store
from bpfcompat.kernels.sources import Asked, apt
from bpfcompat.kernels.vendors import news
from bpfcompat.model import Check, Matrix, Profile, Project
from bpfcompat.outcome import Status
from bpfcompat.project import matrix
from bpfcompat.system import host
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

from . import repositories
from .packages import Keys

pytestmark = pytest.mark.slow

KEYS = {
    "ubuntu-keyring": ("keyrings/ubuntu-archive-keyring.gpg",),
    "distribution-gpg-keys": (
        *(f"distribution-gpg-keys/alma/RPM-GPG-KEY-AlmaLinux-{number}" for number in (8, 9, 10)),
        *(f"distribution-gpg-keys/rocky/RPM-GPG-KEY-Rocky-{number}" for number in (8, 9, 10)),
        *(f"distribution-gpg-keys/oraclelinux/RPM-GPG-KEY-oracle-ol{number}" for number in (8, 9)),
        *(f"distribution-gpg-keys/amazon-linux/RPM-GPG-KEY-amazon-linux-{number}" for number in (2, 2023)),
        "distribution-gpg-keys/fedora/RPM-GPG-KEY-fedora-43-primary",
        "distribution-gpg-keys/opensuse/RPM-GPG-KEY-openSUSE-2022",
    ),
}  # fmt: skip
"""Where the throw-away key stands in for the vendors' own, which nobody here can sign with."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    made = Keys(tmp_path_factory.mktemp("keys"))
    made.public("vendor")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def fetched(profiles, tmp_path_factory):
    """Debian's kernel as it comes, which is downloaded once for this module."""
    profile = profiles["debian-12-6.1"]
    folder = tmp_path_factory.mktemp("package")
    return apt.fetch(Asked(profile.kernel.partition(":")[2], profile, host.cache_folder(), folder))


@pytest.fixture(scope="module")
def kernel(profiles, fetched):
    """The same in the store."""
    profile = profiles["debian-12-6.1"]
    return store.add(host.cache_folder(), kernels.address(profile), profile.kernel, fetched, architecture.AMD64)


@pytest.fixture(scope="module")
def package(fetched, kernel):
    """Debian's kernel with the modules that disks need alone, and a version that those of vendors do not have."""
    kept = {path.name.partition("-")[2] for path in kernel.modules}
    modules = [path for path in sorted(fetched.modules.rglob("*.ko")) if path.name in kept]
    return replace(kernel, image=fetched.image, config=fetched.config, modules=tuple(modules))


@pytest.fixture(scope="module")
def shop(keys, package, tmp_path_factory):
    """One server with a repository of each form."""
    folder, work = tmp_path_factory.mktemp("shop"), tmp_path_factory.mktemp("work")
    repositories.ubuntu(folder / "ubuntu", package, work / "ubuntu")
    for suite in ("jammy", "noble", "focal"):
        repositories.ubuntu_suite(folder / "ubuntu", suite, keys, "vendor", pool="")
        repositories.ubuntu_suite(folder / "ubuntu", f"{suite}-updates", keys, "vendor")
        repositories.ubuntu_suite(folder / "ubuntu", f"{suite}-security", keys, "vendor", pool="")
    for kind in ("rhel", "fedora", "amazon", "opensuse", "uek7"):
        signed = "vendor" if kind in ("rhel", "opensuse") else None
        repositories.rpm_md(folder / kind, package, work, keys, kind, index_key=signed)
    made = repositories.Shop(folder)
    (folder / "mirror.list").write_text(f"{made.url}/amazon/\n")
    yield made
    made.close()


def made_cache(folder, keys):
    """A cache of its own, with the throw-away key in the places of the vendors'."""
    folder.mkdir()
    (folder / "kit").symlink_to(host.cache_folder() / "kit")
    if (known := host.cache_folder() / "accelerator.json").is_file():  # what is asked for elsewhere
        shutil.copy(known, folder)
    for package, paths in KEYS.items():
        for path in paths:
            target = folder / "keyrings" / f"{package}_test" / "share" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(keys.public("vendor"), target)
    return folder


@pytest.fixture(scope="module")
def filled(keys, tmp_path_factory):
    """A cache that the tests of what is not refused share: a kernel is fetched into it once."""
    return made_cache(tmp_path_factory.mktemp("shared") / "cache", keys)


@pytest.fixture
def cache(keys, mapped, tmp_path, monkeypatch):
    """A cache of the test's own."""
    folder = made_cache(tmp_path / "cache", keys)
    monkeypatch.setenv("BPFCOMPAT_CACHE", str(folder))
    return folder


@pytest.fixture
def had(filled, mapped, monkeypatch, tmp_path):
    """Return a vendor's kernel in the cache that tests share, fetched unless it was already."""
    monkeypatch.setenv("BPFCOMPAT_CACHE", str(filled))

    def had(name):
        profile = Profile("x", name, root=tmp_path)
        return kernels.pinned(profile, filled) or kernels.fetch(profile, filled)

    return had


@pytest.fixture
def mapped(shop, monkeypatch):
    """The vendors' servers mapped to ours."""
    shop.pages, shop.cut, shop.asked = [], [], []
    url = shop.url
    monkeypatch.setenv("BPFCOMPAT_MIRRORS", " ".join([
        f"http://archive.ubuntu.com/ubuntu/={url}/ubuntu/", f"http://security.ubuntu.com/ubuntu/={url}/ubuntu/",
        *(f"https://repo.almalinux.org/almalinux/{number}/BaseOS/x86_64/os/={url}/rhel/" for number in (8, 9, 10)),
        f"https://dl.fedoraproject.org/pub/fedora/linux/releases/43/Everything/x86_64/os/={url}/fedora/",
        f"https://dl.fedoraproject.org/pub/fedora/linux/updates/43/Everything/x86_64/={url}/fedora/",
        f"https://cdn.amazonlinux.com/al2023/core/mirrors/latest/x86_64/={url}/",
        f"https://download.opensuse.org/tumbleweed/repo/oss/={url}/opensuse/",
        *(f"https://dl.rockylinux.org/pub/rocky/{number}/BaseOS/x86_64/os/={url}/rhel/" for number in (8, 9)),
        f"https://yum.oracle.com/repo/OracleLinux/OL9/UEKR7/x86_64/={url}/uek7/",
        f"https://amazonlinux.us-east-1.amazonaws.com/2/extras/kernel-5.10/latest/x86_64/={url}/",
    ]))  # fmt: skip


def test_the_production_matrix_works_by_changing_base_urls_only(filled, had, tmp_path):
    """Each row but Debian's, whose keys alone stand in for those that nobody here can sign with."""
    rows = [one for one in matrix.load("production", tmp_path).profiles if not one.kernel.startswith("apt:")]
    assert len(rows) == 11
    for profile in rows:
        found = kernels.fetch(profile, filled)
        assert found.has_disks, profile.id
        assert kernels.pinned(profile, filled) == found


def ran(folder, *profiles):
    """Boot kernels and return the records of `uname -r` in them."""
    session = Session(Project((Check("uname -r"),), Matrix(profiles), folder / "work"), Options())
    try:
        return [target.record for target in engine.run(session).targets]
    finally:
        session.close()


LAYOUTS = ("ubuntu:22.04", "almalinux:9", "fedora:43", "amazon:2023", "opensuse:tumbleweed")


def test_a_kernel_of_each_layout_is_checked_and_booted(had, shop, kernel, tmp_path):
    for name in LAYOUTS:
        had(name)
    records = ran(tmp_path, *(Profile(name.replace(":", "-"), name, root=tmp_path) for name in LAYOUTS))
    for name, record in zip(LAYOUTS, records, strict=True):
        assert record.verdict.status is Status.PASS, (name, record.verdict.reason, record.outcome)
        assert record.outcome.stdout.tail.strip() == kernel.release
        assert record.kernel["image_sha256"] == kernel.image_sha256, "as Debian's own"


def test_an_ordinary_user_without_a_network_runs_what_is_locked_and_stored(cache, shop, tmp_path):
    """In a user namespace, where nobody has root's powers, the kernels are fetched; where there is no network, either, they run."""
    (tmp_path / "bpfcompat.yaml").write_text(
        "command: uname -r\nmatrix: [{id: alma, kernel: 'almalinux:9'}, {id: jammy, kernel: 'ubuntu:22.04'}]\n"
    )

    def call(namespaces, *words):
        command = ["unshare", "--user", "--map-user=1000", *namespaces, sys.executable, "-m", "bpfcompat", *words]
        found = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
        return found.returncode, found.stdout + found.stderr

    code, said = call([], "kernels", "lock")
    assert (code, (tmp_path / "bpfcompat.yaml.lock").is_file()) == (0, True), said
    asked = len(shop.asked)
    assert asked > 0
    code, said = call(["--net"], "kernels", "fetch")
    assert code == 0, said
    code, said = call(["--net"], "run")
    assert (code, len(shop.asked)) == (0, asked), said
    shutil.rmtree(cache / "kernels")
    code, said = call(["--net"], "run")
    assert code == 1, said
    assert "linux-image-6.1.0-52-generic 6.1.0-52.53 is not to be had" in said


@pytest.fixture
def fetch(cache, tmp_path):
    """Fetch a vendor's kernel, without a boot."""

    def run(name, locked=None, **profile):
        return kernels.fetch(Profile("x", name, root=tmp_path, **profile), cache, locked=locked)

    return run


def own(shop, where, *keys, **more):
    """The vendor of a profile whose matrix has a row of its own."""
    row = {"kind": "rpm-md", "url": f"{shop.url}/{where}/", "packages": ["kernel"], "key": [str(key) for key in keys]}
    return json.dumps({**row, **more})


def refused(cache, attempt, words):
    """A refusal is one sentence, and nothing of what was refused is kept."""
    with pytest.raises(NoVerdict, match=words) as raised:
        attempt()
    assert "\n" not in raised.value.message
    assert "Traceback" not in str(raised.value)
    assert not list(cache.glob("kernels/*"))
    assert not list(cache.glob("tmp/*"))
    return raised.value


def test_modules_as_vendors_pack_them_and_who_vouched_for_them(had, kernel):
    for name, compression, count in (
        ("ubuntu:22.04", "plain", 2), ("almalinux:9", "xz", 3), ("fedora:43", "zst", 3), ("amazon:2023", "plain", 1),
        ("opensuse:tumbleweed", "zst", 1),
    ):  # fmt: skip
        found = had(name)
        described = json.loads((found.image.parent / "kernel.json").read_text())
        assert (found.has_disks, described["compression"]) == (True, compression), name
        assert (found.image_sha256, len(found.origin.packages)) == (kernel.image_sha256, count)
        package = "ubuntu-keyring" if name == "ubuntu:22.04" else "distribution-gpg-keys"
        assert found.origin.keyring == f"{package} test"
    assert [one.name for one in had("ubuntu:22.04/generic").origin.packages] == [
        "linux-image-6.1.0-52-generic", "linux-modules-6.1.0-52-generic"]  # fmt: skip
    assert "linux-modules-extra-6.1.0-52-generic" in [one.name for one in had("ubuntu:22.04/extra").origin.packages]
    exact = had("ubuntu:22.04=6.1.0-52")
    assert exact.version == "linux-image-6.1.0-52-generic 6.1.0-52.53"
    assert had("almalinux:9=6.1.0-1.x86_64").version == "kernel-core 6.1.0-1"
    assert had("almalinux:9=6.1.*").version == "kernel-core 6.1.0-1"


def test_a_version_that_is_not_there_says_what_is(cache, fetch):
    refused(cache, lambda: fetch("almalinux:9=5.14.0-1.el9"), "has no kernel-core 5.14.0-1.el9 any more, but 6.1.0-1")
    refused(
        cache, lambda: fetch("ubuntu:22.04=5.15.0-1"), "linux-image-5.15.0-1-generic any more, but linux-image-6.1.0-52"
    )
    refused(cache, lambda: fetch("ubuntu:22.04/aws"), "ubuntu:22.04/aws has no package linux-image-aws")


def test_a_lock_names_packages_and_brings_exactly_these(cache, fetch, shop, tmp_path):
    """From the store, else from the vendor, else from the archive; else it says what is there instead."""
    fresh = fetch("almalinux:9")
    path = tmp_path / "lock"
    lock.write(path, {"x": lock.of(fresh)})
    locked = lock.read(path)["x"]
    assert locked == lock.of(fresh)
    first = locked.packages[0]
    assert first.url.startswith("https://repo.almalinux.org/almalinux/9/BaseOS/x86_64/os/"), (
        "the vendor's own, not the mirror"
    )
    assert (first.name, first.version, len(first.sha256)) == ("kernel-core", "6.1.0-1", 64)
    shop.asked.clear()
    made = Profile("x", "almalinux:9", root=tmp_path)
    assert kernels.pinned(made, cache, locked).image_sha256 == fresh.image_sha256
    assert shop.asked == []

    shutil.rmtree(cache / "kernels")
    assert fetch("almalinux:9", locked).image_sha256 == fresh.image_sha256
    assert all(one.endswith(".rpm") for one in shop.asked), "neither an index nor a key is asked for"

    moved = replace(first, url=first.url.replace("kernel-core", "gone"),
                    archive=(f"{shop.url}/nothing", f"{shop.url}/rhel/kernel-core-6.1.0-1.x86_64.rpm"))  # fmt: skip
    shutil.rmtree(cache / "kernels")
    assert fetch("almalinux:9", replace(locked, packages=(moved, *locked.packages[1:]))).has_disks

    shutil.rmtree(cache / "kernels")
    gone = replace(moved, archive=(), version="5.14.0-1.el9")
    vanished = replace(locked, version="kernel-core 5.14.0-1.el9", packages=(gone, *locked.packages[1:]))
    error = refused(
        cache, lambda: fetch("almalinux:9", vanished), "the package kernel-core 5.14.0-1.el9 is not to be had"
    )
    assert "There is kernel-core 6.1.0-1 now." in error.message
    other = replace(first, sha256="0" * 64)
    refused(cache, lambda: fetch("almalinux:9", replace(locked, packages=(other,))), "has sha256:.*, not sha256:0000")
    shop.pages = ["kernel-core"]
    refused(cache, lambda: fetch("almalinux:9", locked), "has a web page, not sha256:")
    shop.pages, shop.cut = [], ["kernel-core"]
    refused(cache, lambda: fetch("almalinux:9", locked), "came with|incomplete|IncompleteRead|bytes")


def test_where_an_archive_is_follows_from_the_version(fetch, had, shop, keys, package, tmp_path):
    repositories.rpm_md(
        shop.folder / "minor", package, tmp_path, keys, "amazon", version="5.14.0-1.el9_7", index_key=None
    )
    archive = "https://vault.example/{minor}/{path}"
    found = fetch("corp:9", vendor=own(shop, "minor", keys.public("vendor"), archive=archive))
    assert found.origin.packages[0].archive == ("https://vault.example/9.7/kernel-5.14.0-1.el9_7.x86_64.rpm",)
    (stamped,) = had("ubuntu:22.04").origin.packages[0].archive
    assert stamped.startswith("https://snapshot.ubuntu.com/ubuntu/20")
    assert stamped.endswith("/pool/main/l/linux/linux-image-6.1.0-52-generic_6.1.0-52.53_amd64.deb")

    signed, unsigned = had("fedora:43").origin.packages[0].archive
    keyid = keys.fingerprint("vendor")[-8:].lower()
    assert signed.endswith(f"/kernel/6.1.0/1/data/signed/{keyid}/x86_64/kernel-core-6.1.0-1.x86_64.rpm")
    assert unsigned.endswith("/kernel/6.1.0/1/x86_64/kernel-core-6.1.0-1.x86_64.rpm")


def test_what_is_not_signed_by_the_vendor_is_refused(cache, fetch, shop, keys, package, tmp_path):
    repositories.rpm_md(shop.folder / "None", package, tmp_path, keys, "amazon", key=None, index_key=None)
    keys.public("foreign")
    for key in ("foreign", "expired"):
        shutil.copytree(shop.folder / "None", shop.folder / key)
        keys.public(key, "2026-02-01" if key == "expired" else "never")
        keys.sign(key, *(shop.folder / key).glob("*.rpm"))
        repositories.index(shop.folder / key, keys, None)
    vendor, expired = keys.public("vendor"), keys.public("expired")
    refused(cache, lambda: fetch("corp:9", vendor=own(shop, "None", vendor)), "is not signed")
    refused(
        cache,
        lambda: fetch("corp:9", vendor=own(shop, "foreign", vendor)),
        "is signed by the key .*, which is not one of",
    )
    refused(cache, lambda: fetch("corp:9", vendor=own(shop, "expired", vendor, expired)), "which expired on 2026-02-01")
    assert fetch("corp:9", vendor=own(shop, "foreign", vendor), keys=(str(keys.public("foreign")),)).has_disks, (
        "`key:` wins"
    )


def test_an_index_must_be_signed_where_the_row_says_so(cache, fetch, shop, keys):
    vendor = own(shop, "amazon", keys.public("vendor"), metadata_signed=True)
    refused(cache, lambda: fetch("corp:9", vendor=vendor), "repomd.xml.asc|GPG|signature")
    vendor = own(shop, "rhel", keys.public("foreign"), metadata_signed=True, packages=["kernel-core"])
    refused(cache, lambda: fetch("corp:9", vendor=vendor), "GPG|signature")
    while subprocess.run(["pgrep", "-f", f"gpg-agent --homedir {cache}"], check=False).returncode == 0:
        time.sleep(0.1)  # an agent that is told to end takes a moment
    apt_row = {"kind": "apt", "url": f"{shop.url}/ubuntu/ jammy-updates main", "packages": "linux-image-virtual"}
    vendor = json.dumps({**apt_row, "key": str(keys.public("foreign"))})
    refused(cache, lambda: fetch("corp:9", vendor=vendor), "NO_PUBKEY|not signed|signature")
    assert fetch("corp:9", vendor=json.dumps({**apt_row, "key": str(keys.public("vendor"))})).has_disks


def test_a_mirror_that_answers_with_web_pages_or_half_of_a_package_is_refused(cache, fetch, shop):
    shop.pages = ["repodata", "InRelease"]
    refused(cache, lambda: fetch("almalinux:9"), "almalinux:9")
    refused(cache, lambda: fetch("ubuntu:22.04"), "ubuntu:22.04")
    shop.pages, shop.cut = [], ["kernel-modules-core", "linux-modules"]
    refused(cache, lambda: fetch("almalinux:9"), "downloading packages of almalinux:9 failed")
    refused(cache, lambda: fetch("ubuntu:22.04"), "downloading linux-image")


def test_what_a_kernel_is_otherwise_than_was_read_is_news(had, kernel, tmp_path):
    found = had("ubuntu:22.04")
    told = news.of(Profile("x", "ubuntu:22.04", root=tmp_path), found)
    assert f"{kernel.release}, not 5.15" in told
    assert "compression" not in told, "it is plain, as was read"
    assert news.of(Profile("x", "apt:bookworm/linux-image-cloud-amd64"), found) == ""


def test_a_kernel_that_cannot_be_entered_directly_is_stored_and_booted_as_it_came(
    fetch, kernel, monkeypatch, package, tmp_path
):
    """RHEL 8's have no PVH note. Whether there is one in a packed image QEMU does not ask: it has the bzImage start itself."""
    monkeypatch.setattr(image, "_has_pvh_entry", lambda kernel: False)
    found = fetch("almalinux:8")
    assert found.image.read_bytes() == package.image.read_bytes()
    assert news.said(found)["btf"]
    assert facts.of(found)["BTF"] == "yes"
    offered, unpacked = features.of(found), features.of(kernel)
    assert offered.helpers == unpacked.helpers
    assert offered.program_types >= unpacked.program_types, "the other may have been asked by a boot, too"
    (record,) = ran(tmp_path, Profile("x", "almalinux:8", root=tmp_path))
    assert (record.verdict.status, record.outcome.stdout.tail.strip()) == (Status.PASS, kernel.release)


def test_a_kernel_is_tried_and_the_report_says_what_there_is_to_know(
    cache, shop, kernel, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert main(["kernels", "try", "amazon:2023"]) == 0
    said = capsys.readouterr().out
    for words in (
        "## amazon:2023", "dnf 4", "rpmkeys 4", "kernel 6.1.0-1", "keys: distribution-gpg-keys test", "amazon/kernel-6.1.0-1.x86_64.rpm",
        f"- release: {kernel.release}", "- booted, asked and ended in", "- active LSMs: ", "kprobe.multi",
    ):  # fmt: skip
        assert words in said, said
    shop.pages = ["mirror.list", "repodata"]
    assert main(["kernels", "try", "almalinux:9"]) == 1
    assert "**failed**: " in capsys.readouterr().out
    assert main(["kernels", "try", "apt:bookworm/linux-image-cloud-amd64"]) == 1
    assert "is not a vendor's kernel" in capsys.readouterr().err

"""Kernels in several RPM packages: which must be there, what they must be, and who must have signed them."""

import re
import shutil

import pytest

from bpfcompat import kernels
from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import needs
from bpfcompat.model import Profile
from bpfcompat.system import digest

from .packages import rpm, tree_of

RELEASE = "6.12.0-1.el10.x86_64"


@pytest.fixture(scope="module")
def split(kernel, keys, tmp_path_factory):
    """RHEL 10's three packages: the core without the modules that disks need."""
    folder, modules = tmp_path_factory.mktemp("split"), f"lib/modules/{RELEASE}"
    core = {f"{modules}/vmlinuz": kernel.image, f"{modules}/config": kernel.config, f"{modules}/symvers": b""}
    drivers = {f"{modules}/kernel/{path.name.partition('-')[2]}": path for path in kernel.modules}
    packages = [
        rpm(folder, "kernel-core", tree_of(folder / "1", core)),
        rpm(folder, "kernel-modules-core", tree_of(folder / "2", drivers)),
        rpm(folder, "kernel-modules", tree_of(folder / "3", {f"{modules}/kernel/more.ko": kernel.modules[0]})),
    ]
    keys.public("vendor")
    keys.sign("vendor", *packages)
    return packages


@pytest.fixture
def fetched(split, tmp_path):
    """Fetch a kernel of the first so many of the three packages."""

    def fetch(count=3, **profile):
        names = [str(path) for path in split[:count]]
        made = Profile("x", f"rpm:{names[0]}", modules=tuple(names[1:]), root=tmp_path, **profile)
        return kernels.fetch(made, tmp_path / "cache")

    return fetch


def refused(fetched, tmp_path, words, **profile):
    with pytest.raises(NoVerdict, match=words) as raised:
        fetched(**profile)
    assert "\n" not in raised.value.message
    assert not list((tmp_path / "cache").glob("kernels/*"))
    assert not list((tmp_path / "cache" / "tmp").iterdir())


def test_what_is_missing_for_disks_is_named_by_its_package(fetched):
    assert "in the package kernel-modules-core" in needs.without_modules(fetched(1))
    whole = fetched(3)
    assert (whole.has_disks, needs.without_modules(whole)) == (True, "")


def test_packages_must_be_what_the_matrix_says(fetched, split, tmp_path):
    right = tuple(digest.of_file(path) for path in split)
    refused(fetched, tmp_path, r"kernel-core.* has the SHA-256 .*and `sha256:` says 000", sha256=("0" * 64, *right[1:]))
    assert fetched(sha256=right).has_disks


def test_packages_must_be_signed_by_the_key_that_the_matrix_names(fetched, keys, split, tmp_path):
    refused(fetched, tmp_path, "is signed by the key .*, which is not one of", keys=(str(keys.public("foreign")),))
    refused(fetched, tmp_path, "holds only the key .*, which expired on 2026-02-01",
            keys=(str(keys.public("expired", "2026-02-01")),))  # fmt: skip
    refused(fetched, tmp_path, "there is no key", keys=("nothing.asc",))
    (tmp_path / "no.asc").write_text("no key")
    refused(fetched, tmp_path, "no.asc holds no OpenPGP key", keys=("no.asc",))
    assert fetched(keys=(str(keys.public("foreign")), str(keys.public("vendor")))).has_disks


def test_packages_without_a_good_signature_are_refused(kernel, keys, split, tmp_path):
    unsigned = rpm(tmp_path, "unsigned", tree_of(tmp_path / "t", {"boot/vmlinuz-1": kernel.image}))
    key = (str(keys.public("vendor")), str(keys.public("expired", "2026-02-01")))

    def fetch(path):
        return kernels.fetch(Profile("x", f"rpm:{path}", keys=key, root=tmp_path), tmp_path / "cache")

    with pytest.raises(NoVerdict, match="is not signed"):
        fetch(unsigned)
    expired = shutil.copy(unsigned, tmp_path / "expired.rpm")
    keys.sign("expired", expired)
    with pytest.raises(NoVerdict, match=r"is signed by the key .*, which expired on 2026-02-01"):
        fetch(expired)
    changed = tmp_path / "changed.rpm"
    content = split[0].read_bytes()
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(NoVerdict, match=r"is damaged or was changed: .*BAD"):
        fetch(changed)
    assert not list((tmp_path / "cache").glob("kernels/*"))


def test_a_package_that_leads_out_of_its_root_is_refused(kernel, tmp_path):
    """With an uncompressed payload the name in it can be changed to one of the same length."""
    files = {"boot/vmlinuz-1": kernel.image, "lib/modules/1/aaaaaaaaaaa": b"x"}
    package = rpm(tmp_path, "evil", tree_of(tmp_path / "t", files), payload="w.ufdio")
    content = package.read_bytes()
    inside, outside = b"./lib/modules/1/aaaaaaaaaaa", b"./lib/../../../../../escape"
    assert len(inside) == len(outside)
    assert inside in content
    package.write_bytes(content.replace(inside, outside))
    with pytest.raises(NoVerdict, match=re.escape("leads out of its folder")):
        kernels.fetch(Profile("x", f"rpm:{package}", root=tmp_path), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("kernels/*"))
    assert not list(tmp_path.rglob("escape"))

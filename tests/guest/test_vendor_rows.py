"""Every row of the table of vendors, resolved against repositories of its form: by its URLs, its key, and its packages' names."""

import os
import shutil

import pytest

from bpfcompat import kernels
from bpfcompat.kernels.vendors import rows
from bpfcompat.model import Profile

from . import repositories
from .packages import Keys, rpm, tree_of

ROWS = [rows.find(name) for name in rows.names()]
APT = [row for row in ROWS if row.kind == "apt"]
RPM = [row for row in ROWS if row.kind == "rpm-md"]
ABI, VERSION = "6.1.0-52", "6.1.0-52.53"


def flavour(package):
    """Return whose image a package of Ubuntu's brings."""
    last = package.rpartition("-")[2]
    return last if last in ("aws", "azure", "gcp") else "generic"


def ubuntu(folder, work, keys):
    """Make an archive of all of Ubuntu's suites, of small packages."""
    pool = folder / "pool"
    pool.mkdir(parents=True)
    metas = {row.packages[0] for row in APT}
    for one in sorted({flavour(name) for name in metas}):
        image, modules = f"linux-image-{ABI}-{one}", f"linux-modules-{ABI}-{one}"
        # Random, so that they do not become smaller than what only depends on others.
        trees = (tree_of(work / name, {f"boot/{name}": os.urandom(100_000)}) for name in (image, modules))
        repositories.deb(pool, image, VERSION, next(trees), modules)
        repositories.deb(pool, modules, VERSION, next(trees))
    for name in sorted(metas):
        repositories.deb(pool, name, VERSION, work / name, f"linux-image-{ABI}-{flavour(name)}")
    for suite in sorted({line.split()[1] for row in APT for line in row.url}):
        repositories.ubuntu_suite(folder, suite, keys, "vendor", pool="pool" if suite.isalpha() else "")


def rpm_md(folder, work, keys):
    """Make a repository of all packages that rows of its kind name, each with nothing in it."""
    folder.mkdir()
    work.mkdir()
    for name in sorted({name.removesuffix("?") for row in RPM for name in row.packages}):
        made = rpm(work, name, tree_of(work / name, {"etc/empty": b""}), "6.1.0-1", "w1.gzdio")
        made.rename(folder / made.name)
    repositories.index(folder, keys, "vendor")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A server of both, and a cache with the throw-away key in the places of the vendors'."""
    folder, keys = tmp_path_factory.mktemp("rows"), Keys(tmp_path_factory.mktemp("keys"))
    public = keys.public("vendor")
    ubuntu(folder / "apt", folder / "work" / "apt", keys)
    rpm_md(folder / "rpm", folder / "work-rpm", keys)
    for package, _, path in {key.partition(":") for row in ROWS for key in row.key}:
        target = folder / "cache" / "keyrings" / f"{package}_test" / "share" / package / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(public, target)
    made = repositories.Shop(folder)
    (folder / "rpm" / "mirror.list").write_text(f"{made.url}/rpm/\n")
    yield made
    made.close()
    keys.stop()


@pytest.mark.long
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_resolves(row, shop, tmp_path, monkeypatch):
    bases = [url.split()[0].removeprefix("mirrorlist:").removesuffix("mirror.list") for url in row.url]
    there = f"{shop.url}/{'apt' if row.kind == 'apt' else 'rpm'}/"
    monkeypatch.setenv("BPFCOMPAT_MIRRORS", " ".join(f"{base}={there}" for base in bases))
    found = kernels.newest(Profile("x", row.name, root=tmp_path), shop.folder / "cache")
    if row.kind == "apt":
        assert found == f"linux-image-{ABI}-{flavour(row.packages[0])} {VERSION}"
    else:
        assert found == f"{row.packages[0]} 6.1.0-1"

"""The vendors' own keys, out of Debian's packages: what each row of the table names is there, and rpm takes it."""

import shutil
from pathlib import Path

import pytest

from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import signatures
from bpfcompat.kernels.vendors import keyrings, rows
from bpfcompat.system import host, processes


@pytest.fixture(scope="module")
def found():
    """The files of each row, by the row's name."""
    return {name: keyrings.found(rows.find(name).key, Path(), host.cache_folder()) for name in rows.names()}


def test_every_key_is_in_the_package_that_the_row_names(found):
    for name, (files, origins) in found.items():
        assert all(file.is_file() for file in files), name
        package = "ubuntu-keyring" if rows.find(name).kind == "apt" else "distribution-gpg-keys"
        assert [origin.partition(" ")[0] for origin in origins] == [package], name


def test_rpm_takes_a_key_of_every_row_and_only_those_that_are_said_to_need_sha1_need_it(found, tmp_path):
    """On Debian 12 rpm takes all of them; on Debian 13, with Sequoia, those of some rows by a policy of their own alone."""
    strict = b"sequoia" in processes.run(["ldd", host.program("rpmkeys")]).stdout
    tried = set()
    for name, (files, _) in found.items():
        row = rows.find(name)
        if row.kind != "rpm-md" or (row.key, row.sha1) in tried:
            continue
        tried.add((row.key, row.sha1))
        in_use = any(signatures.has_current_key(file) for file in files)
        # Sequoia takes no expired key, which is what there is where neither of Debian's suites has a newer one.
        assert _taken(files, tmp_path, row.sha1) == (in_use or not strict), name
        if strict and row.sha1:
            assert not _taken(files, tmp_path, False), name
    assert len(tried) > 10


def _taken(files, folder, sha1):
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "no.rpm").write_bytes(b"")
    try:
        signatures.check([work / "no.rpm"], files, work, sha1=sha1)
    except NoVerdict as error:
        return "no.rpm" in error.message  # the keys are in; what is no package is refused
    return False

"""The table of vendors, and what names mean by it."""

import json
from pathlib import Path

import pytest

from bpfcompat.cli import main
from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels.vendors import mirrors, news, rows
from bpfcompat.model import Kernel, Profile
from bpfcompat.project import document, matrix, schema


def test_the_table_fits_its_schema_and_every_row_is_whole():
    assert schema.problems(json.loads(rows.TABLE.read_bytes()), "vendors") == []
    for name in rows.names():
        row = rows.find(name)
        assert row.url, name
        assert row.packages, name
        assert row.key, name
        assert "{" not in "".join([*row.url, *row.packages, *row.key]), name
        assert row.kind == "rpm-md" or row.exact, name


def test_a_flavour_wins_over_its_release_and_that_over_its_vendor():
    assert rows.find("ubuntu:22.04").packages == ("linux-image-virtual",)
    assert rows.find("ubuntu:22.04/aws").packages == ("linux-image-aws",)
    assert rows.find("ubuntu:22.04/hwe").packages == ("linux-image-virtual-hwe-22.04",)
    assert rows.find("ubuntu:22.04").url[1] == "http://archive.ubuntu.com/ubuntu/ jammy-updates main"
    assert rows.find("oracle:9/uek7").packages[0] == "kernel-uek-core"
    assert rows.find("oracle:9").packages[0] == "kernel-core"
    assert (rows.find("oracle:8").sha1, rows.find("oracle:9").sha1) == (True, False)


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("almalinux:11", "almalinux has no release '11'", "8, 9, 10"),
        ("ubuntu:22.4", "has no release '22.4'", "did you mean '22.04'?"),
        ("ubuntu:22.04/awz", "has no flavour 'awz'", "ubuntu:22.04/aws"),
        ("ubuntu:/aws", "is not ubuntu:RELEASE", "for instance ubuntu:18.04"),
        ("almalinux:9=1 2", "is not almalinux:RELEASE", "almalinux:8"),
        ("almalinx:9", "does not name a kernel", "did you mean 'almalinux:9'?"),
    ],
)
def test_a_name_that_the_table_does_not_know_says_what_there_is(tmp_path, name, words, hint):
    (tmp_path / "m.yaml").write_text(f"profiles:\n  - id: a\n    kernel: '{name}'\n")
    with pytest.raises(BpfcompatError, match=words) as raised:
        matrix.load("m.yaml", tmp_path)
    assert "m.yaml:3" in raised.value.message
    assert hint in raised.value.hint


OWN = {"kind": "rpm-md", "url": "http://corp/{release}/{arch}/", "packages": ["kernel"], "key": "corp.asc"}


def written(folder, vendors, kernel="corp:9=1-2"):
    row = {"id": "a", "kernel": kernel}
    (folder / "m.yaml").write_text(json.dumps({"vendors": vendors, "profiles": [row]}))
    (profile,) = matrix.load("m.yaml", folder).profiles
    return profile


def test_a_matrix_has_vendors_of_its_own(tmp_path):
    found = rows.find("corp:9=1-2", written(tmp_path, {"corp": OWN}).vendor)
    assert (found.url, found.packages, found.key) == (("http://corp/9/x86_64/",), ("kernel",), ("corp.asc",))
    for name in ("almalinux", "apt"):
        with pytest.raises(BpfcompatError, match=f"'{name}' already names kernels"):
            written(tmp_path, {name: OWN})
    with pytest.raises(BpfcompatError, match="unknown key 'packagez'"):
        written(tmp_path, {"corp": {**OWN, "packagez": []}})
    with pytest.raises(BpfcompatError, match="has no flavours"):
        written(tmp_path, {"corp": OWN}, "corp:9/x")


OTHERS = {
    "kind": "apt", "url": "http://other/", "packages": "other", "key": "other.asc", "exact": "x", "leave": "x",
    "metadata_signed": True, "sha1": True, "archive": "http://a/{path}", "read": {"btf": True},
    "client": {"certificate": "c.pem", "key": "k.pem"},
}  # fmt: skip


@pytest.mark.parametrize("key", OTHERS)
def test_every_key_of_a_row_changes_what_is_asked(tmp_path, key):
    own = json.loads((schema.FOLDER / "vendors.schema.json").read_text())["$defs"]["own"]
    assert set(OTHERS) == set(own["properties"])
    before = rows.find("corp:9", written(tmp_path, {"corp": OWN}).vendor)
    assert rows.find("corp:9", written(tmp_path, {"corp": {**OWN, key: OTHERS[key]}}).vendor) != before


def test_mirrors_take_the_place_of_the_longest_beginning_of_a_url(monkeypatch):
    monkeypatch.setenv("BPFCOMPAT_MIRRORS", "https://a/=http://x/ https://a/b/=file:///y/\nhttps://q?r=s=http://z")
    assert mirrors.mapped("https://a/c") == "http://x/c"
    assert mirrors.mapped("https://a/b/c") == "file:///y/c"
    assert mirrors.mapped("https://q?r=s") == "http://z"
    assert mirrors.mapped("https://other/") == "https://other/"
    assert mirrors.unmapped("file:///y/c", "https://a/b/") == "https://a/b/c"
    monkeypatch.setenv("BPFCOMPAT_MIRRORS", "https://a/")
    with pytest.raises(BpfcompatError, match="holds 'https://a/', which is not URL=URL"):
        mirrors.mapped("https://a/")


def test_the_shipped_matrices_can_be_read():
    for file in matrix.SHIPPED.glob("*.yaml"):
        assert len(matrix.load(file.stem, file.parent).profiles) == len(document.read(file).value["profiles"])


def test_the_table_of_the_docs_is_made_of_the_data(capsys):
    assert main(["kernels", "vendors"]) == 0
    page = (Path(__file__).parents[3] / "docs" / "kernels.md").read_text()
    assert page.endswith(capsys.readouterr().out), (
        "bpfcompat kernels vendors prints what stands at the end of docs/kernels.md"
    )


def test_the_matrix_of_all_vendors_names_each_kernel_that_differs(tmp_path):
    named = {profile.kernel for profile in matrix.load("vendors-all", tmp_path).profiles}
    assert named == {name for name in rows.names() if name.partition("/")[2] not in ("generic", "extra")}


@pytest.mark.parametrize(
    "name",
    [
        "apt:trixie-backports/linux-image-6.18.*-cloud-amd64",
        "path:some where/bzImage",
        "host",
        "oci:registry/image:tag",
    ],
)
def test_of_kernels_that_are_no_vendor_s_there_is_no_news(name, tmp_path):
    kernel = Kernel(name, "1", tmp_path / "image", "0", (), "1")
    assert news.of(Profile("x", name), kernel) == ""

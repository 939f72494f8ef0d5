"""What an archive can do wrong: each is one clear sentence, and the store stays whole."""

import functools
import hashlib
import http.server
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from bpfcompat import kernels
from bpfcompat.errors import NoVerdict
from bpfcompat.kernels.sources import apt
from bpfcompat.model import Profile
from bpfcompat.system import debian, digest
from tests.parts import KIT

pytestmark = pytest.mark.slow

SUITE = "mine-backports"
PROFILE = Profile("x", f"apt:{SUITE}/linux-image-mine")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@dataclass
class Archive:
    """A Debian archive of one package, served over HTTP on loopback."""

    folder: Path
    home: Path
    cache: Path

    @property
    def package(self):
        return self.folder / "debian/pool/linux-image-mine_1_amd64.deb"

    def publish(self, signed=True):
        """Write the index and sign it, as a mirror would."""
        data = self.package.read_bytes()
        entry = (
            "Package: linux-image-mine\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nDescription: x\n"
            f"Filename: pool/{self.package.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
        )
        suite = self.folder / "debian/dists" / SUITE
        (suite / "main/binary-amd64").mkdir(parents=True, exist_ok=True)
        (suite / "main/binary-amd64/Packages").write_text(entry)
        date = subprocess.check_output(["date", "-Ru"], text=True).strip()
        release = (
            f"Origin: x\nSuite: {SUITE}\nCodename: {SUITE}\nArchitectures: amd64\nComponents: main\nDate: {date}\nSHA256:\n"
            f" {hashlib.sha256(entry.encode()).hexdigest()} {len(entry)} main/binary-amd64/Packages\n"
        )
        (suite / "Release").write_text(release)
        if signed:
            self.gpg("--clearsign", "-o", suite / "InRelease", suite / "Release")

    def gpg(self, *arguments):
        subprocess.run(
            ["gpg", "--homedir", self.home, "--batch", "--yes", "-q", *arguments], check=True, capture_output=True
        )

    def fetch(self, profile=PROFILE):
        return kernels.fetch(profile, self.cache)

    def refused(self, profile=PROFILE):
        with pytest.raises(NoVerdict) as refusal:
            self.fetch(profile)
        assert not list(self.cache.glob("kernels/*"))
        assert not list(self.cache.glob("tmp/*"))
        return refusal.value.message


@pytest.fixture
def archive(tmp_path, deb, monkeypatch):
    made = Archive(tmp_path / "www", tmp_path / "gpg", tmp_path / "cache")
    made.home.mkdir(mode=0o700)
    made.cache.mkdir()
    (made.cache / "kit").symlink_to(KIT.folder.parent)
    made.gpg("--passphrase", "", "--quick-generate-key", "nobody <nobody@example.org>", "default", "default", "never")
    keyring = tmp_path / "keyring.gpg"
    made.gpg("--export", "-o", keyring)
    made.package.parent.mkdir(parents=True)
    made.package.write_bytes(deb.read_bytes())
    handler = functools.partial(_Quiet, directory=made.folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(debian.MIRROR_VARIABLE, f"http://127.0.0.1:{server.server_port}/debian")
        monkeypatch.setattr(apt, "_KEYRING", keyring)
        debian.mirrors.cache_clear()
        yield made
        server.shutdown()
    debian.mirrors.cache_clear()
    subprocess.run(["gpgconf", "--homedir", made.home, "--kill", "gpg-agent"], check=False, capture_output=True)


def test_a_whole_archive(archive, kernel):
    archive.publish()
    found = archive.fetch()
    assert (found.version, found.image_sha256) == ("linux-image-mine 1", digest.of_file(kernel.image))
    assert found.release == kernel.release
    assert kernels.newest(PROFILE, archive.cache) == "linux-image-mine 1"


def test_an_unsigned_suite(archive):
    archive.publish(signed=False)
    assert "is not signed" in archive.refused()


def test_a_suite_signed_by_somebody_else(archive, monkeypatch, tmp_path):
    archive.publish()
    empty = tmp_path / "empty.gpg"
    empty.write_bytes(b"")
    monkeypatch.setattr(apt, "_KEYRING", empty)
    assert "is not signed" in archive.refused() or "NO_PUBKEY" in archive.refused()


def test_a_package_of_another_digest(archive):
    archive.publish()
    data = bytearray(archive.package.read_bytes())
    data[len(data) // 2] ^= 1
    archive.package.write_bytes(data)
    assert "Hash Sum mismatch" in archive.refused()


def test_a_package_that_comes_cut_off(archive):
    archive.publish()
    archive.package.write_bytes(archive.package.read_bytes()[:-1000])
    message = archive.refused()
    assert "linux-image-mine=1" in message
    assert "size" in message.lower() or "Hash Sum mismatch" in message


def test_a_package_that_is_listed_and_not_there(archive):
    archive.publish()
    archive.package.unlink()
    assert "404" in archive.refused()


def test_a_version_that_has_vanished(archive):
    archive.publish()
    gone = Profile("x", f"apt:{SUITE}/linux-image-mine=0.9")
    assert archive.refused(gone) == f"{SUITE} has linux-image-mine 0.9 no more, but 1."
    assert f"{SUITE} has no package linux-image-yours" in archive.refused(
        Profile("x", f"apt:{SUITE}/linux-image-yours")
    )

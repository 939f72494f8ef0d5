"""What the kit is made of: packages and sources of Debian's archive, each with its digest."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bpfcompat.architecture import AMD64, Architecture
from bpfcompat.dataclass import dataclass
from bpfcompat.guest.kit import contents
from bpfcompat.system import atomic, debian, processes

SUITE = "bookworm"
"""Debian 12's archive does not change any more, so that what the lock names stays where it is."""
LIBBPF_SUITE = "forky"
TOOLCHAIN = (
    "gcc-12", "cpp-12", "libgcc-12-dev", "libgcc-s1", "binutils-x86-64-linux-gnu", "libbinutils", "libctf0", "libctf-nobfd0",
    "libjansson4", "libisl23", "libgmp10", "libmpfr6", "libmpc3", "libzstd1", "zlib1g", "libc6", "libc6-dev", "linux-libc-dev",
    "libcrypt-dev", "libelf-dev", "zlib1g-dev", "libncurses-dev", "make", "patch",
)  # fmt: skip
CROSS = {
    "arm64": (
        "gcc-12-aarch64-linux-gnu", "cpp-12-aarch64-linux-gnu", "libgcc-12-dev-arm64-cross", "binutils-aarch64-linux-gnu",
    ),
}  # fmt: skip
"""What compiles for another architecture on amd64, beside that which compiles for amd64 itself."""
FOREIGN = ("libc6", "libc6-dev", "linux-libc-dev", "libcrypt-dev", "libelf-dev", "zlib1g-dev", "libncurses-dev")
"""Packages of the other architecture that are compiled with; Debian puts each architecture's files in folders of its own."""
TOOLS = (
    "bpftool", "iproute2", "kmod", "coreutils", "util-linux", "bsdutils", "procps", "libc-bin", "libc6", "libelf1", "zlib1g",
    "libcap2", "libbpf1", "libmnl0", "libbsd0", "libmd0", "libtirpc3", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3",
    "libkrb5support0", "libcom-err2", "libkeyutils1", "libselinux1", "libpcre2-8-0", "libxtables12", "libdb5.3", "libkmod2",
    "libzstd1", "liblzma5", "libssl3", "libacl1", "libattr1", "libgmp10", "libtinfo6", "libncursesw6", "libproc2-0",
    "libsystemd0", "libgcrypt20", "libgpg-error0", "liblz4-1", "libcap-ng0", "libsmartcols1", "libmount1", "libblkid1",
    "debian-archive-keyring", "base-passwd", "netbase", "lz4", "zstd", "libgcc-s1", "libstdc++6",
)  # fmt: skip
SOURCES = {"bash": SUITE, "busybox": SUITE, "libbpf": LIBBPF_SUITE}


@dataclass(frozen=True)
class Package:
    """A file of the archive."""

    name: str
    version: str
    path: str
    """Below the mirror."""
    sha256: str


@dataclass(frozen=True)
class Lock:
    """All that a kit is made of."""

    toolchain: tuple[Package, ...]
    tools: tuple[Package, ...]
    sources: tuple[Package, ...]
    """A source package is several files of one name."""

    def files(self, source: str) -> list[Package]:
        """Return the files of a source package."""
        return [row for row in self.sources if row.name == source]


def read(guest: Architecture) -> Lock:
    """Return the lock that this version's kit is built from."""
    value = json.loads(contents.lock_path(guest).read_text())
    return Lock(*(tuple(Package(**row) for row in value[part]) for part in ("toolchain", "tools", "sources")))


def write(guest: Architecture) -> None:
    """Lock what the archive has now; raises BpfcompatError."""
    with tempfile.TemporaryDirectory(prefix="bpfcompat-lock.") as name:
        options, cross = _update(Path(name) / "tools", guest), CROSS.get(guest.name, ())
        native = _update(Path(name) / "compiler", AMD64)
        compiler = (*_packages(native, (*TOOLCHAIN, *cross)), *(_packages(options, FOREIGN) if cross else ()))
        found = Lock(compiler, _packages(options, TOOLS), _sources(native))
    atomic.write_json(contents.lock_path(guest), asdict(found))


def _update(folder: Path, of: Architecture) -> list[str]:
    """Read the archive's indexes with a private configuration, and return the options that make apt use them."""
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    mirror = debian.mirrors()[0]
    lines = [f"deb {mirror} {SUITE} main", *(f"deb-src {mirror} {suite} main" for suite in (SUITE, LIBBPF_SUITE))]
    (folder / "sources.list").write_text("\n".join([*lines, ""]))
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list", "Dir::Etc::sourceparts": "/dev/null", "Dir::State": folder,
        "Dir::State::lists": folder / "lists", "Dir::State::status": folder / "status", "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none", "APT::Sandbox::User": "root", "APT::Architecture": of.name, "APT::Architectures": of.name,
    }  # fmt: skip
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    processes.check(["apt-get", *options, "update", "-qq", "--error-on=any"], doing="reading the archive's index")
    return options


def _packages(options: Sequence[str], names: Sequence[str]) -> tuple[Package, ...]:
    shown = processes.check(
        ["apt-cache", *options, "show", "--no-all-versions", *names], doing="looking up packages"
    ).decode()
    rows = [
        dict(re.findall(r"^(Package|Version|Filename|SHA256): (.*)$", part, re.MULTILINE))
        for part in shown.split("\n\n")
    ]
    found = {
        row["Package"]: Package(row["Package"], row["Version"], row["Filename"], row["SHA256"]) for row in rows if row
    }
    return tuple(found[name] for name in names)


def _sources(options: Sequence[str]) -> tuple[Package, ...]:
    found = []
    for name, suite in SOURCES.items():
        asked = ["apt-get", *options, "source", "--print-uris", "-qq", f"{name}/{suite}"]
        said = processes.check(asked, doing=f"looking up the source of {name}").decode()
        for path, file, sha256 in re.findall(
            r"^'\S+?/(pool/\S+)' (\S+) \d+ SHA256:([0-9a-f]{64})$", said, re.MULTILINE
        ):
            if not file.endswith(".dsc"):
                version = file.removeprefix(f"{name}_").partition(".orig")[0].partition(".debian")[0]
                found.append(Package(name, version, path, sha256))
    return tuple(found)

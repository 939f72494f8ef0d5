"""Vendors whose repositories are of RPM's kind: read by the host's dnf, unprivileged, with a configuration of its own.

dnf checks the signature of a repository's index where there is one, but `dnf download` looks at no package's, whatever
it is told (4.14, 4.23). So every package goes through `signatures`, too.
"""

from __future__ import annotations

import re
from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels import signatures
from bpfcompat.kernels.vendors import mirrors
from bpfcompat.kernels.vendors.rows import ARCH, Row
from bpfcompat.system import atomic, digest, host, processes

_INDEX_SECONDS = 600
_SETTINGS = """\
[main]
cachedir={state}/cache
logdir=/log
persistdir={state}/persist
reposdir={state}/none
varsdir={state}/none
pluginconfpath={state}/none
gpgcheck=0
retries=3
timeout=30
metadata_expire={seconds}
skip_if_unavailable=0
"""


class Repository:
    """A row's repository, asked through dnf."""

    def __init__(self, row: Row, keys: list[Path], cache: Path) -> None:
        """Nothing is asked yet; raises BpfcompatError without dnf, or without a key."""
        self._row, self._keys = row, keys
        self._urls: dict[str, str] = {}
        if missing := [key for key in keys if not key.is_file()]:
            raise BpfcompatError(f"there is no key {missing[0]}.", "correct `key:`")
        urls = [mirrors.mapped(url.removeprefix("mirrorlist:")) for url in row.url]
        mark = digest.of_json([urls, [digest.of_file(key) for key in keys], row.metadata_signed])[:12]
        self._state = cache / "dnf" / f"{row.slug}-{mark}"
        (self._state / "none").mkdir(parents=True, exist_ok=True)
        settings = [_SETTINGS.format(state=self._state, seconds=_INDEX_SECONDS)]
        for index, (url, said) in enumerate(zip(urls, row.url, strict=True)):
            settings.append(
                f"[{index}]\nname={row.name}\n{'mirrorlist' if said.startswith('mirrorlist:') else 'baseurl'}={url}\n"
            )
            if row.metadata_signed:
                settings.append(f"repo_gpgcheck=1\ngpgkey={' '.join(key.absolute().as_uri() for key in keys)}\n")
            if row.client:
                settings.append(f"sslclientcert={row.client[0]}\nsslclientkey={row.client[1]}\n")
        atomic.write(self._state / "dnf.conf", "".join(settings).encode())
        self._dnf = [
            host.program("dnf"), "--quiet", "--assumeyes", "-c", str(self._state / "dnf.conf"),
            "--installroot", str(self._state / "root"), "--releasever", row.release, "--forcearch", ARCH,
        ]  # fmt: skip

    def _asked(self, *words: str, doing: str) -> str:
        """Ask dnf, one at a time; raises BpfcompatError with the last thing that it said."""
        with atomic.locked(self._state / "lock"):
            result = processes.run([*self._dnf, *words])
            self._end_agents()
        if result.returncode == 0:
            return result.stdout.decode(errors="replace")
        said = [line for line in result.stderr.decode(errors="replace").splitlines() if line.strip()]
        last = next((line for line in reversed(said) if line.startswith("Error:")), said[-1] if said else "")
        what = " ".join(
            dict.fromkeys([*(line.strip() for line in said if line.startswith("  - ")), last.removeprefix("Error: ")])
        )
        raise BpfcompatError(
            f"{doing} failed: {what or f'dnf ended with {result.returncode}'}.".replace("..", "."),
            f"check the network, and what {mirrors.VARIABLE} says",
        )

    def _end_agents(self) -> None:
        """End the agents that gpg has started to read the keys for dnf: they belong to no process of ours, and would stay for good."""
        for ring in self._state.rglob("pubring"):
            processes.run([host.program("gpgconf"), "--homedir", str(ring), "--kill", "gpg-agent"])

    def packages(self, version: str) -> dict[str, str]:
        """Return the packages of the newest kernel, or of an exact version, and the version of each; raises BpfcompatError.

        version: VERSION-RELEASE, also as `uname -r` says it; `*` stands for anything; empty for the newest.
        """
        row, image = self._row, self._row.packages[0]
        wanted = re.sub(rf"\.{ARCH}$", "", version)
        found = self._newest(f"{image}-{wanted}" if wanted else image)
        if found is None:
            raise self._missing(image, wanted)
        names = [name.removesuffix("?") for name in row.packages]
        self._urls = there = self._locations(dict.fromkeys(names, found))
        lacking = [name for name in row.packages if name not in there and not name.endswith("?")]
        if lacking:
            raise BpfcompatError(
                f"{row.name} has {image} {found}, but no {' and no '.join(lacking)} of that version.",
                "the vendor may be publishing it just now: run again later, or name an earlier version",
            )
        return {name: found for name in names if name in there}

    def _newest(self, spec: str) -> str | None:
        said = self._asked(
            "repoquery", "--available", "--arch", ARCH, "--latest-limit", "1", "--qf", "%{version}-%{release}", spec,
            doing=f"asking {self._row.name} for its kernels",
        ).split()  # fmt: skip
        return said[-1] if said else None

    def _missing(self, image: str, version: str) -> BpfcompatError:
        if not version:
            return BpfcompatError(f"{self._row.name} has no package {image}.", "correct `packages:` of the row")
        now = self._newest(image)
        return BpfcompatError(
            f"{self._row.name} has no {image} {version} any more, but {now or 'none at all'}.",
            f"write {self._row.name}, or a version that is there",
        )

    def _locations(self, packages: dict[str, str]) -> dict[str, str]:
        """Return where packages of exact versions are fetched from, as far as they are there."""
        said = self._asked(
            "repoquery", "--available", "--location", *(f"{name}-{version}.{ARCH}" for name, version in packages.items()),
            doing=f"locating packages of {self._row.name}",
        )  # fmt: skip
        by_file = {url.rpartition("/")[2]: url for url in said.split()}
        files = {name: f"{name}-{version}.{ARCH}.rpm" for name, version in packages.items()}
        return {name: by_file[file] for name, file in files.items() if file in by_file}

    def located(self, packages: dict[str, str]) -> dict[str, tuple[str, str]]:
        """Return the vendor's own URL and the path below its repository, of each of what `packages` returned."""
        return {name: self._located(self._urls[name]) for name in packages}

    def _located(self, url: str) -> tuple[str, str]:
        for base in self._row.url:
            if url.startswith(mirrors.mapped(base)):
                return mirrors.unmapped(url, base), url[len(mirrors.mapped(base)) :].lstrip("/")
        return url, ""

    def download(self, packages: dict[str, str], folder: Path) -> dict[str, tuple[Path, str]]:
        """Download packages, check the signature of each, and return each one's file and key; raises BpfcompatError."""
        self._asked(
            "download", "--destdir", str(folder), *(f"{name}-{version}.{ARCH}" for name, version in packages.items()),
            doing=f"downloading packages of {self._row.name}",
        )  # fmt: skip
        files = {name: folder / f"{name}-{version}.{ARCH}.rpm" for name, version in packages.items()}
        if missing := [name for name, file in files.items() if not file.is_file()]:
            raise BpfcompatError(f"dnf downloaded no {missing[0]} of {self._row.name}.", "run again")
        signers = signatures.check(list(files.values()), self._keys, folder, sha1=self._row.sha1)
        return {name: (file, signer) for (name, file), signer in zip(files.items(), signers, strict=True)}

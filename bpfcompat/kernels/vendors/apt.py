"""Vendors whose repositories are of apt's kind: Ubuntu."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels import aptget
from bpfcompat.kernels.vendors import mirrors
from bpfcompat.kernels.vendors.rows import Row, filled
from bpfcompat.system import digest

_KERNEL_PACKAGE = r"linux-(?:image|modules)(?:-unsigned)?-"


class Repository:
    """A row's repository, whose index is up to date and signed by one of its keys."""

    def __init__(self, row: Row, keys: list[Path], cache: Path) -> None:
        """Bring the index up to date; raises BpfcompatError."""
        if not shutil.which("apt-get"):
            raise BpfcompatError(
                f"{row.name} needs the program apt-get, which this machine does not have.",
                "take the packages by their URLs: deb:URL, with `modules:` and `sha256:`",
            )
        self._row = row
        self._state = (
            cache / "apt" / f"{row.slug}-{digest.of_json([row.url, [mirrors.mapped(url) for url in row.url]])[:12]}"
        )
        self._options = aptget.updated(
            self._state,
            architecture.AMD64,
            lambda: self._lines(keys),
            row.name,
            f"check the network, and what {mirrors.VARIABLE} says",
        )

    def _lines(self, keys: list[Path]) -> list[str]:
        trusted = ",".join(str(self._placed(key)) for key in keys)
        return [f"deb [signed-by={trusted}] {mirrors.mapped(url)}" for url in self._row.url]

    def _placed(self, key: Path) -> Path:
        """apt tells by a file's name whether it is armored."""
        if not key.is_file():
            raise BpfcompatError(f"there is no key {key}.", "correct `key:`")
        content = key.read_bytes()
        armored = content.lstrip().startswith(b"-----BEGIN")
        target = self._state / f"{digest.of_bytes(content)[:16]}.{'asc' if armored else 'gpg'}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    def packages(self, version: str) -> dict[str, str]:
        """Return the packages of the newest kernel, or of an exact version, and the version of each; raises BpfcompatError.

        version: an ABI, like 6.8.0-52; empty for the newest.
        """
        row, found = self._row, dict[str, str]()
        wanted = [filled(name, {"version": version}) or name for name in row.exact] if version else list(row.packages)
        leave = f"(?!{row.leave})" if row.leave else ""
        for name in wanted:
            some = aptget.closure(self._options, name, "", re.compile(leave + _KERNEL_PACKAGE))
            if some is None:
                raise self._missing(name, version)
            found.update(some)
        if not any(name.startswith("linux-image-") for name in found):
            raise BpfcompatError(
                f"{' '.join(wanted)} of {row.name} brings no kernel image.", "name a linux-image package"
            )
        return dict(sorted(found.items()))  # the image comes before the modules

    def _missing(self, name: str, version: str) -> BpfcompatError:
        message = f"{self._row.name} has no package {name}"
        if not version:
            return BpfcompatError(f"{message}.", "`bpfcompat kernels vendors` lists releases and flavours")
        now = next(iter(self.packages("")), "no kernel")
        return BpfcompatError(f"{message} any more, but {now}.", f"write {self._row.name}, or a version that is there")

    def located(self, packages: dict[str, str]) -> dict[str, tuple[str, str]]:
        """Return the vendor's own URL and the path below its repository, of each package."""
        return {name: self._located(url) for name, url in aptget.locations(self._options, packages).items()}

    def _located(self, url: str) -> tuple[str, str]:
        for line in self._row.url:
            base = line.split()[0]
            if url.startswith(mirrors.mapped(base)):
                return mirrors.unmapped(url, base), url[len(mirrors.mapped(base)) :]
        return url, ""

    def download(self, packages: dict[str, str], folder: Path) -> dict[str, tuple[Path, str]]:
        """Download packages, checked by the digests of the signed index, and return their files; raises BpfcompatError.

        No key has signed a package itself.
        """
        aptget.download(self._options, packages, folder)
        files = list(folder.glob("*.deb"))
        return {name: (next(file for file in files if file.name.startswith(f"{name}_")), "") for name in packages}

"""Packages that a lock names: from the vendor's server, or from an archive where that has them no more; the digest decides."""

from __future__ import annotations

from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.kernels import download
from bpfcompat.kernels.vendors import mirrors
from bpfcompat.model import Package
from bpfcompat.outcome import Classification
from bpfcompat.system import digest


def brought(package: Package, folder: Path, client: tuple[str, str] | None) -> Path:
    """Return the file of exactly that package; raises NoVerdict, saying what was found at each place, if it is nowhere.

    folder: for what is downloaded, each try in a folder of its own.
    client: a certificate and its key for servers that ask for one.
    """
    failures = []
    for index, url in enumerate((package.url, *package.archive)):
        place = folder / f"{package.name}.{index}"
        place.mkdir()
        try:
            file = download.brought(mirrors.mapped(url), Path(), place, client)
        except NoVerdict as error:
            failures.append(error.message.rstrip("."))
            continue
        sha256 = digest.of_file(file)
        if sha256 == package.sha256:
            return file
        failures.append(f"{url} has {_content(file, sha256)}, not sha256:{package.sha256[:16]}...")
    raise NoVerdict(
        Classification.KERNEL_UNAVAILABLE,
        f"the package {package.name} {package.version} is not to be had: {'; '.join(failures)}.",
        f"check the network, and what {mirrors.VARIABLE} says",
    )


def _content(file: Path, sha256: str) -> str:
    with file.open("rb") as opened:
        head = opened.read(1024).lstrip().lower()
    return "a web page" if head.startswith((b"<!doctype html", b"<html")) else f"sha256:{sha256[:16]}..."

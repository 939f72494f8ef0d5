"""Vendors' kernels tried against their own servers: resolved, checked, booted once, and a report of it to send back."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path

from bpfcompat import kernels
from bpfcompat.errors import BpfcompatError
from bpfcompat.kernels import facts, features, needs, vendors
from bpfcompat.model import VERSION, Kernel, Profile
from bpfcompat.report import Progress
from bpfcompat.system import host, processes
from bpfcompat.workflow import probing

_PROGRAMS = {"apt": ("apt-get",), "rpm-md": ("dnf", "rpmkeys")}


def profiles(wanted: str, root: Path) -> list[Profile]:
    """Return a profile for a vendor's kernel by its name, or for each of a vendor's; raises BpfcompatError."""
    names = vendors.rows.names(wanted) if wanted in vendors.rows.table() else [wanted]
    for name in names:
        kernels.refuse_foreign(name)
        if not kernels.is_vendor(name.partition(":")[0]):
            raise BpfcompatError(
                f"{name} is not a vendor's kernel.", "for instance almalinux:9, or almalinux for all of them"
            )
    return [Profile(re.sub(r"[^A-Za-z0-9._-]", "-", name)[:64], name, root=root) for name in names]


def tried(profile: Profile, cache: Path, progress: Progress) -> tuple[bool, str]:
    """Try a kernel; return whether it booted, and the report, as Markdown."""
    row = vendors.rows.find(profile.kernel)
    lines = [
        f"## {profile.kernel}", "", f"- bpfcompat {VERSION} on {_host()}, {_programs(row.kind)}",
        f"- asked: {', '.join(row.url)}",
    ]  # fmt: skip
    try:
        lines += list(_booted(profile, cache, progress))
    except BpfcompatError as error:
        return False, "\n".join([*lines, f"- **failed**: {error.message}", f"  ({error.hint})" if error.hint else ""])
    return True, "\n".join(lines)


def _booted(profile: Profile, cache: Path, progress: Progress) -> Iterator[str]:
    start = time.monotonic()
    with progress.doing(f"fetching {profile.kernel}"):
        kernel = kernels.fetch(profile, cache)
    yield f"- resolved, checked and stored in {time.monotonic() - start:.0f} s: {kernel.version}"
    if kernel.origin:
        yield f"- keys: {kernel.origin.keyring}"
        for package in kernel.origin.packages:
            yield f"- package: {package.url} sha256:{package.sha256}"
            yield from (f"  - in an archive later: {url}" for url in package.archive)
    start = time.monotonic()
    found = probing.boot(profile, progress)
    yield f"- booted, asked and ended in {time.monotonic() - start:.0f} s"
    features.keep_probed(kernel, found)
    for name, value in {**facts.of(kernel), **probing.summary(kernel, found)}.items():
        yield f"- {name}: {value}"
    yield f"- {_compared(profile, kernel)}"


def _compared(profile: Profile, kernel: Kernel) -> str:
    told = [note for note in (needs.without_modules(kernel), vendors.news.of(profile, kernel)) if note]
    return "; ".join(told) or "what the table says was read of it holds"


def _host() -> str:
    try:
        said = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        said = ""
    return said or platform.system()


def _programs(kind: str) -> str:
    versions = []
    for name in _PROGRAMS[kind]:
        try:
            said = processes.run([host.program(name), "--version"]).stdout.decode(errors="replace")
        except BpfcompatError:
            versions.append(f"{name} is not installed")
            continue
        number = re.search(r"\d+(?:\.\d+)+", said)
        versions.append(f"{name} {number[0] if number else 'of unknown version'}")
    return ", ".join(versions)

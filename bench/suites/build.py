"""The suites: the module's sources and one test binary for each package."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODULE, VERSION = "github.com/cilium/ebpf", "v0.22.0"
SUM = "h1:v2ktp0roffpMOj2MMf3idtCQZOsAoC4BJbAJN+ke2bY="
"""As go.sum would have it."""
_NOT_OF_THE_KERNEL = ("cmd/",)
"""These packages' tests compile C and Go programs, and ask no kernel anything."""
_LINKS = {"loader-el.elf": "loader-clang-22-el.elf", "loader-eb.elf": "loader-clang-22-eb.elf"}
"""What the repository has as links, which a module cannot hold."""


@dataclass(frozen=True)
class Suite:
    """The tests of one package."""

    package: str
    """Its path below the module; empty for that itself."""
    binary: Path

    @property
    def name(self) -> str:
        return self.package.replace("/", ".") or "ebpf"


def sources(folder: Path) -> Path:
    """Return a copy of the module's sources, fetched by go and checked; raises CalledProcessError, SystemExit."""
    target = folder / "src"
    answer = subprocess.run(
        ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"], check=True, capture_output=True, text=True
    )
    found = json.loads(answer.stdout)
    if found["Sum"] != SUM:
        raise SystemExit(f"{MODULE} {VERSION} is {found['Sum']}, and not {SUM}, as is pinned.")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(found["Dir"], target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)  # go's cache is read-only
    for name, known_as in _LINKS.items():
        (target / "testdata" / name).symlink_to(known_as)
    return target


def suites(tree: Path, folder: Path) -> list[Suite]:
    """Build the tests of every package that asks the kernel something; raises CalledProcessError."""
    folder.mkdir(exist_ok=True)
    found = []
    for package in _packages(tree):
        suite = Suite(package, folder / f"{package.replace('/', '.') or 'ebpf'}.test")
        subprocess.run(["go", "test", "-c", "-o", suite.binary, f"./{package}"], cwd=tree, check=True)
        found.append(suite)
    return found


def _packages(tree: Path) -> Iterator[str]:
    wanted = "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}"
    listed = subprocess.run(["go", "list", "-f", wanted, "./..."], cwd=tree, check=True, capture_output=True, text=True)
    for line in listed.stdout.split():
        package = line.removeprefix(MODULE).removeprefix("/")
        if not package.startswith(_NOT_OF_THE_KERNEL):
            yield package

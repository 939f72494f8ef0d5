"""The compiler of the kit: Debian 12's, unpacked into a folder of its own, so that every host builds the same bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from bpfcompat.guest.kit.lock import Package
from bpfcompat.system import atomic, debian, digest, processes

_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
_LINKED = (
    "libbfd-",
    "libopcodes-",
    "libctf",
    "libsframe",
    "libjansson",
    "libgmp",
    "libisl",
    "libmpc",
    "libmpfr",
    "libzstd",
    "libz.so",
)
"""What the compiler's own programs are linked with. Not the C library: theirs is that of the host, which is newer or the same."""
_BINUTILS = ("as", "ld", "ar", "nm", "ranlib", "strip", "objcopy")


def unpacked(packages: Iterable[Package], cache: Path, name: str) -> Path:
    """Return the folder that packages are unpacked in together; raises BpfcompatError.

    name: what it is for, in the folder's name.
    """
    rows = list(packages)
    target = cache / "kit" / f"{name}-{digest.of_json([row.sha256 for row in rows])[:32]}"
    if not target.exists():
        with atomic.folder(target) as fresh:
            for row in rows:
                archive = debian.file(row.path, row.sha256, cache / "kit" / "downloads")
                processes.check(["dpkg-deb", "-x", str(archive), str(fresh)], doing=f"unpacking {row.name}")
    return target


class Toolchain:
    """A compiler, its libraries and make, in a folder."""

    def __init__(self, root: Path) -> None:
        """Write the programs under which the compiler is called; root is what `unpacked` returned."""
        self.root = root
        self.bin = root / "kit-bin"
        self.libbpf = root / "kit-libbpf"
        written = self.bin / "complete"  # for this place: a cache may have been moved
        if not written.exists() or written.read_text() != str(root):
            self._write_programs()

    def _write_programs(self) -> None:
        libraries, plain = self.root / "kit-lib", self.root / "kit-plain"
        for folder in (libraries, plain, self.bin):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for name in _LIBRARIES:
            for path in sorted((self.root / name).glob("*.so*")):
                if path.name.startswith(_LINKED) and not (libraries / path.name).is_symlink():
                    (libraries / path.name).symlink_to(path)
        # gcc and make look for `as` and `ld` by these names; without them the host's would be taken.
        for name in _BINUTILS:
            (plain / name).symlink_to(f"../usr/bin/x86_64-linux-gnu-{name}")
        compiler = (
            f"{self.root}/usr/bin/x86_64-linux-gnu-gcc-12 --sysroot={self.root} -B{plain}/"
            f" -isystem {self.libbpf}/include -L{self.libbpf}/lib"
        )
        programs = {"cc": compiler, "make": f"{self.root}/usr/bin/make", "patch": f"{self.root}/usr/bin/patch"}
        programs |= {name: f"{plain}/{name}" for name in _BINUTILS}
        for name, command in programs.items():
            script = self.bin / name
            script.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {command} "$@"\n')
            script.chmod(0o755)
        (self.bin / "complete").write_text(str(self.root))

    def run(self, *words: str | Path, folder: Path, doing: str, **variables: str) -> bytes:
        """Run a program with this compiler first in PATH, and nothing else of the host's environment; raises BpfcompatError."""
        environment = {
            "PATH": f"{self.bin}:{os.environ.get('PATH', os.defpath)}", "LC_ALL": "C", "HOME": "/", "TZ": "UTC",
            "SOURCE_DATE_EPOCH": "1700000000", **variables,
        }  # fmt: skip
        return processes.check([str(word) for word in words], doing=doing, cwd=folder, env=environment)

    def compile(self, *words: str | Path, folder: Path, doing: str) -> None:
        """Run the compiler; raises BpfcompatError."""
        self.run(self.bin / "cc", "-Wl,--build-id=none", *words, folder=folder, doing=doing)

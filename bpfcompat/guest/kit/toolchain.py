"""The compiler of the kit: Debian 12's, unpacked into a folder of its own, so that every host builds the same bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from bpfcompat.architecture import AMD64, Architecture
from bpfcompat.guest.kit.lock import Package
from bpfcompat.system import atomic, debian, digest, processes

RUNS_ON = AMD64
"""The compilers are programs of this architecture, whatever they compile for."""
_LIBRARIES = (f"usr/lib/{RUNS_ON.triplet}", f"lib/{RUNS_ON.triplet}")
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

    def __init__(self, root: Path, guest: Architecture) -> None:
        """Write the programs under which the compiler is called; root is what `unpacked` returned.

        guest: what is compiled for.
        """
        self.root = root
        self.guest = guest
        self.bin = root / "kit-bin"
        self.libbpf = root / "kit-libbpf"
        written = self.bin / "complete"  # for this place: a cache may have been moved
        if not written.exists() or written.read_text() != str(root):
            self._write_programs()

    def _write_programs(self) -> None:
        libraries = self.root / "kit-lib"
        for folder in (libraries, self.bin):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for name in _LIBRARIES:
            for path in sorted((self.root / name).glob("*.so*")):
                if path.name.startswith(_LINKED) and not (libraries / path.name).is_symlink():
                    (libraries / path.name).symlink_to(path)
        plain = self._plain("kit-plain", self.guest)
        compiler = f"{self._compiler(self.guest, plain)} -isystem {self.libbpf}/include -L{self.libbpf}/lib"
        programs = {"cc": compiler, "make": f"{self.root}/usr/bin/make", "patch": f"{self.root}/usr/bin/patch"}
        programs |= {name: f"{plain}/{name}" for name in _BINUTILS}
        if self.guest is not RUNS_ON:
            programs["host-cc"] = self._compiler(RUNS_ON, self._plain("kit-plain-host", RUNS_ON))
        for name, command in programs.items():
            script = self.bin / name
            script.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {command} "$@"\n')
            script.chmod(0o755)
        (self.bin / "complete").write_text(str(self.root))

    def _plain(self, name: str, of: Architecture) -> Path:
        """Make a folder in which gcc and make find `as` and `ld` by these names; without it the host's would be taken."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for program in _BINUTILS:
            (folder / program).symlink_to(f"../usr/bin/{of.triplet}-{program}")
        return folder

    def _compiler(self, of: Architecture, plain: Path) -> str:
        return f"{self.root}/usr/bin/{of.triplet}-gcc-12 --sysroot={self.root} -B{plain}/"

    @property
    def host_compiler(self) -> Path:
        """What compiles the programs that a build runs itself."""
        return self.bin / ("cc" if self.guest is RUNS_ON else "host-cc")

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

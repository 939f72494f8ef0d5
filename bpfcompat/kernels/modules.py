"""Kernel modules as files: which ones are needed, in which order they load, and what is in them."""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
from collections.abc import Sequence
from pathlib import Path

from bpfcompat import elf, processes
from bpfcompat.errors import NoVerdict
from bpfcompat.model import Classification


def closure(tree: Path, wanted: Sequence[str]) -> list[Path]:
    """Return the files of the `wanted` modules and of all they depend on, in the order in which they can be loaded.

    A name without a file is taken to be built in: a package's own list of built-in modules is not always there
    (Debian's linux-modules of 7.3 has none), and the guest says so if it was a mistake.
    """
    by_name = {_name(path): path for path in sorted(tree.rglob("*.ko*"))}
    ordered: dict[str, Path] = {}

    def visit(name: str) -> None:
        if name in ordered or name not in by_name:
            return
        path = by_name[name]
        for dependency in dependencies(content(path), path):
            visit(dependency)
        ordered[name] = path

    for name in wanted:
        visit(name)
    return list(ordered.values())


def _name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def dependencies(module: bytes, path: Path) -> list[str]:
    """Return the names in a module's `depends=` line; raises NoVerdict if it is not a module."""
    try:
        with elf.opened(io.BytesIO(module)) as file:
            section = file.get_section_by_name(".modinfo")
            information = section.data() if section else b""
    except elf.DamagedElf as error:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, f"{path} is not a kernel module: {error}.") from error
    for line in information.split(b"\0"):
        if line.startswith(b"depends="):
            return [name.replace("-", "_") for name in line[8:].decode(errors="replace").split(",") if name]
    return []


def content(path: Path) -> bytes:
    """Return a module decompressed, since kernels before 5.17 do not do that themselves; raises NoVerdict."""
    try:
        data = path.read_bytes()
        if path.suffix == ".xz":
            return lzma.decompress(data)
        if path.suffix == ".gz":
            return gzip.decompress(data)
        if path.suffix == ".zst":
            return _unzstd(path)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, f"the module {path} cannot be read: {error}.") from error
    return data


def _unzstd(path: Path) -> bytes:
    if not shutil.which("zstd"):
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, f"{path} needs the program zstd.", "apt-get install zstd")
    return processes.check(["zstd", "-dc", str(path)], doing=f"decompressing {path}")

"""Kernel modules as files: which ones are needed, in which order they load, and what is in them."""

from __future__ import annotations

import gzip
import io
import lzma
import re
from collections.abc import Sequence
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import kit
from bpfcompat.outcome import Classification
from bpfcompat.system import elf, processes


def files(tree: Path) -> dict[str, Path]:
    """Return all modules of a kernel, and the lists of what is built in: path below /lib/modules/RELEASE -> file.

    tree: a modules folder, a folder of .ko files, or a built kernel tree, whose own list is followed.
    """
    if is_built(tree):
        lines = (tree / "modules.order").read_text().split()
        names = [re.sub(r"\.o$", ".ko", line.removeprefix("kernel/")) for line in lines]
        found = {f"kernel/{name}": tree / name for name in names}
    else:
        found = {str(path.relative_to(tree)): path for path in sorted(tree.rglob("*.ko*"))}
    lists = ("modules.order", "modules.builtin", "modules.builtin.modinfo")
    return {**found, **{name: tree / name for name in lists if (tree / name).is_file()}}


def built_image(tree: Path, guest: Architecture) -> Path | None:
    """Return the image of a kernel tree that was built for an architecture; None if a folder is none."""
    return next((tree / name for name in guest.built_images if (tree / name).is_file()), None)


def is_built(tree: Path) -> bool:
    """Tell whether a folder is a kernel tree that was built."""
    return any(built_image(tree, guest) for guest in architecture.ALL.values())


def watched(tree: Path) -> list[Path]:
    """Return what changes when a module is changed, added or removed: the modules and the folders above them.

    A built tree has its own list of modules, and its folders change with every object file.
    """
    found = files(tree)
    above = {folder for path in found.values() for folder in path.parents if folder.is_relative_to(tree)}
    return [*found.values(), *(() if is_built(tree) else sorted({tree, *above}))]


def compression(found: dict[str, Path]) -> str:
    """Return how most of the modules are compressed: plain, gz, xz or zst; empty if there are none."""
    suffixes = [name.rpartition(".ko")[2].lstrip(".") or "plain" for name in found if ".ko" in name]
    return max(set(suffixes), key=suffixes.count, default="")


def closure(tree: Path, wanted: Sequence[str]) -> list[Path]:
    """Return the files of the `wanted` modules and of all they depend on, in the order in which they can be loaded.

    A name without a file is taken to be built in: a package's own list of built-in modules is not always there
    (Debian's linux-modules of 7.3 has none), and the guest says so if it was a mistake.
    """
    by_name = {_name(path): path for name, path in files(tree).items() if ".ko" in name}
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


def copy(found: dict[str, Path], folder: Path) -> None:
    """Copy modules below a folder, decompressed.

    busybox's modprobe hands a compressed module to the kernel first, which complains about it in its log ("Invalid ELF
    header magic", 7.3), and no kernel before 5.17 takes one.

    Raises NoVerdict for what cannot be read or is not a module.
    """
    for name, path in found.items():
        target = folder / re.sub(r"\.ko\.\w+$", ".ko", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content(path))


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
    try:
        return processes.check([*kit.tool("/usr/bin/zstd"), "-dcq", str(path)], doing=f"decompressing {path}")
    except BpfcompatError as error:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, error.message, error.hint) from error

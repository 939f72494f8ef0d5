"""What a program finds in a guest that runs there as it would here: folders and files of this machine, under the same paths."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import libraries, payload, preflight

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

AT_MOST = 512 << 20
"""Bytes of all shared folders together."""
IGNORE = ".bpfcompatignore"
_SMALL, _FEW = 2 << 20, 100
"""Bytes and files that an emulated guest copies in less time than it takes to lay a folder over another (guest/init/program.c).

It does so where the payload as a whole is too large to be unpacked (payload.py).
"""


@dataclass
class Shares:
    """Folders and files, each to stand in the guest where it stands here."""

    folders: tuple[Path, ...]
    """Absolute; none is below another."""
    files: tuple[tuple[Path, Path], ...]
    """Where one stands, and what is there: a link is followed."""
    libraries: dict[str, Path] = field(default_factory=dict)
    """Path in the guest -> file here."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Where they stand in the guest, in the order in which the disk has them."""
        return tuple(str(path) for path in (*self.folders, *(path for path, _ in self.files)))


def find(folders: Sequence[Path], program: Path | None, userland: preflight.Userland) -> Shares:
    """Return what a program needs to run as it would here.

    folders: absolute.
    program: absolute; None for one that the guest itself has.
    userland: what else the program finds there.
    Raises BpfcompatError for a folder that is none, NoVerdict (LOADER_NOT_RUNNABLE) for a program that can run nowhere.
    """
    for folder in folders:
        if not folder.is_dir():
            raise BpfcompatError(f"{folder} is not a folder.", "share a folder, and what is in it comes along")
        if folder == Path("/"):
            raise BpfcompatError("/ cannot be shared.", "start in the folder that the program needs, or share that")
    kept = [one for one in folders if not any(one != other and one.is_relative_to(other) for other in folders)]
    if program is None:
        return Shares(tuple(dict.fromkeys(kept)), ())
    preflight.check_loader(program, program, True, userland)
    interpreter = preflight.interpreter(program)
    needed = libraries.closure(program, interpreter, userland.guest) if interpreter else {}
    return Shares(tuple(dict.fromkeys(kept)), ((program, program.resolve()),), needed)


def copy(shares: Shares, tree: Path, say: Callable[[str], None]) -> tuple[str, ...]:
    """Copy shares to where the payload has them, and return the folders that are small enough to be copied in a guest, too.

    tree: the payload's.
    say: called with a sentence about what is left behind.
    Raises BpfcompatError, OSError.
    """
    budget = _Budget(AT_MOST)
    small = []
    for number, folder in enumerate(shares.folders):
        before = budget.left
        if _copy_folder(folder, tree / "shares" / str(number), budget, say) <= _FEW and before - budget.left <= _SMALL:
            small.append(str(folder))
    for number, (_, source) in enumerate(shares.files, len(shares.folders)):
        shutil.copy2(source, _parent_made(tree / "shares" / str(number)))
    for name, source in shares.libraries.items():
        shutil.copy2(source, _parent_made(tree / payload.libraries_folder(shares.libraries) / name.lstrip("/")))
    return tuple(small)


def _parent_made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@dataclass
class _Budget:
    left: int

    def spend(self, size: int, folder: Path) -> None:
        self.left -= size
        if self.left < 0:
            raise BpfcompatError(
                f"{folder} is too large to come along: the folders that a program shares may hold {AT_MOST >> 20} MiB.",
                f"name what it does not need in {folder / IGNORE}, or start in a smaller folder",
            )


def _copy_folder(folder: Path, target: Path, budget: _Budget, say: Callable[[str], None]) -> int:
    """Copy what comes along of a folder, and return how many files and folders that is."""
    target.mkdir(parents=True)
    count = 0
    unreadable: list[Path] = []
    for source in _walk(folder, _ignored(folder)):
        copy = target / source.relative_to(folder)
        status, count = source.lstat(), count + 1
        try:
            if stat.S_ISDIR(status.st_mode):
                copy.mkdir()
            elif stat.S_ISLNK(status.st_mode):
                copy.symlink_to(source.readlink())
            elif stat.S_ISREG(status.st_mode):
                budget.spend(status.st_size, folder)
                shutil.copy2(source, copy)
        except PermissionError:
            unreadable.append(source)
    for copy in (path for path in target.rglob("*") if path.is_dir() and not path.is_symlink()):
        shutil.copystat(folder / copy.relative_to(target), copy)
    if unreadable:
        others = f" and {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        say(f"{unreadable[0]}{others} cannot be read, and does not come along.")
    return count


def _walk(folder: Path, ignored: Callable[[str], bool]) -> Iterator[Path]:
    """Yield everything below a folder that comes along, a folder before what is in it."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            found = sorted(os.scandir(here), key=lambda entry: entry.name)
        except PermissionError:
            continue  # told where it is copied
        for entry in found:
            name = os.path.relpath(entry.path, folder)
            inside = entry.is_dir(follow_symlinks=False)
            if entry.name == ".git" or ignored(f"{name}/" if inside else name):
                continue
            yield Path(entry.path)
            if inside:
                waiting.append(Path(entry.path))


def _ignored(folder: Path) -> Callable[[str], bool]:
    """Return what tells of a path whether the folder's own list leaves it out; a folder's path ends in a slash."""
    try:
        lines = (folder / IGNORE).read_text().splitlines()
    except FileNotFoundError:
        return lambda _: False
    spec = _spec(lines)
    return lambda name: bool(spec.match_file(name))


def _spec(lines: list[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # only folders with such a list need it

    return GitIgnoreSpec.from_lines(lines)

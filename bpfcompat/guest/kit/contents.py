"""What is in a kit, where it is, and what it is known by."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from bpfcompat.architecture import Architecture
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic, digest

_GUEST = Path(__file__).parents[1]
_HOW = tuple(Path(__file__).with_name(name) for name in ("build.py", "tools.py", "bash.answers"))
RECIPE = 2
"""Counts the ways in which the same sources are built, and the layouts of the result."""


def lock_path(architecture: Architecture) -> Path:
    """Return the file that says what a kit is made of."""
    return Path(__file__).with_name(f"lock.{architecture.name}.json")


def wheel_path(architecture: Architecture) -> Path:
    """Return where a packed kit is, in an installed wheel only."""
    return Path(__file__).with_name(f"kit.{architecture.name}.tar.xz")


@dataclass(frozen=True)
class Kit:
    """An unpacked kit."""

    architecture: Architecture
    folder: Path
    identity: str
    """SHA-256 of all that is in it, hex."""
    applets: tuple[str, ...]
    """The names under which busybox is called."""
    programs: tuple[str, ...]
    """The programs of the tools, by their paths in the guest."""

    @property
    def init(self) -> Path:
        """The guest's first process."""
        return self.folder / "init"

    @property
    def validator(self) -> Path:
        """What tries objects without a loader; a static program, so it runs here, too, if it is of this architecture."""
        return self.folder / "validator"

    @property
    def bash(self) -> Path:
        """A static bash with its symbols."""
        return self.folder / "bash"

    @property
    def busybox(self) -> Path:
        """A static busybox."""
        return self.folder / "busybox"

    @property
    def tools(self) -> Path:
        """A folder that goes onto the guest's root: bpftool, ip, tc, kmod and the like with their libraries."""
        return self.folder / "tools"

    @property
    def etc(self) -> Path:
        """Files of the guest's /etc: Debian's users, groups, protocols and services."""
        return self.folder / "etc"

    @property
    def keyring(self) -> Path:
        """Debian's archive keys, out of a package whose digest the lock names."""
        return self.folder / "debian-archive-keyring.gpg"

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the words that run one of the tools here, on whatever C library this machine has.

        program: its path in the guest.
        """
        name = program.rpartition("/")[2]
        linker = self.tools / self.architecture.linker
        libraries = self.tools / "lib" / self.architecture.triplet
        path = (self.tools / program.lstrip("/")).resolve()
        return [str(linker), "--argv0", name, "--library-path", str(libraries), str(path), *arguments]


def find(cache: Path, architecture: Architecture) -> Kit | None:
    """Return a kit: of the wheel, or as it was built in this clone; None if it is not built yet. Raises BpfcompatError."""
    packed = wheel_path(architecture)
    try:
        return read(_of_wheel(packed, cache) if packed.is_file() else built_path(cache, architecture), architecture)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@functools.cache
def read(folder: Path, architecture: Architecture) -> Kit:
    """Return the kit in a folder; raises OSError, ValueError, KeyError or TypeError if there is none."""
    described = json.loads((folder / "kit.json").read_bytes())
    return Kit(architecture, folder, described["identity"], tuple(described["applets"]), tuple(described["programs"]))


@functools.cache
def built_path(cache: Path, architecture: Architecture) -> Path:
    """Return where a kit of these sources is, or will be: by the digest of all that goes into it."""
    sources = [path.read_text() for name in ("init", "validator") for path in sorted((_GUEST / name).glob("*.[ch]"))]
    how = [path.read_text() for path in (*_HOW, lock_path(architecture))]
    return cache / "kit" / f"built-{digest.of_json([RECIPE, how, sources])[:32]}"


def _of_wheel(packed: Path, cache: Path) -> Path:
    """Return the folder that a kit of the wheel is unpacked in, once for each; raises BpfcompatError, OSError."""
    status = packed.stat()
    target = cache / "kit" / f"wheel-{digest.of_json([str(packed), status.st_size, status.st_mtime_ns])[:32]}"
    if not target.exists():
        with atomic.folder(target) as fresh:
            unpack(packed, fresh)
    return target


def unpack(packed: Path, folder: Path) -> None:
    """Unpack a kit; raises BpfcompatError if it is not what was packed, OSError."""
    import lzma  # which only the first run of a new version needs
    import tarfile

    try:
        with lzma.open(packed) as file, tarfile.open(fileobj=file, mode="r|") as archive:
            archive.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(folder)  # noqa: S202
        described = json.loads((folder / "kit.json").read_bytes())
        whole = described["identity"] == identity(folder)
    except (lzma.LZMAError, tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as error:
        raise BpfcompatError(f"{packed} is damaged: {error}.", "install bpfcompat again") from error
    if not whole:
        raise BpfcompatError(f"{packed} is damaged: it is not what was packed.", "install bpfcompat again")


def identity(folder: Path) -> str:
    """Return what a kit in a folder is known by: names, modes and contents of everything in it but its description."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found.append([name, "link", str(path.readlink())])
        elif path.is_file() and name != "kit.json":
            found.append([name, f"{path.stat().st_mode & 0o777:o}", digest.of_file(path)])
    return digest.of_json([RECIPE, found])

"""The programs that every guest has beside bash and busybox, on a disk of their own: no memory of the guest is spent on them."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import libraries
from bpfcompat.system import atomic, digest, disk, elf, host

NAMES = ("bpftool", "ip", "tc")
"""busybox has an `ip` and a `tc`, which know neither BPF nor how to name both ends of a veth pair."""
FORMAT = 1
"""Counts the layouts of the disk."""
_MIB = 256


@dataclass(frozen=True)
class Tools:
    """Programs with the libraries that they are linked with."""

    identity: str
    """What a disk of these files is known by."""
    files: dict[str, Path]
    """Path in the guest -> file here."""


def find(cache: Path) -> Tools:
    """Return the tools of this machine; raises BpfcompatError for one that it does not have, or that cannot be shipped.

    What was found last is used again while none of its files has changed.
    """
    memo = cache / "tools" / "known.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(memo.read_bytes())
        files = {name: Path(stamp[0]) for name, stamp in known["files"].items()}
        if known["of"] == [FORMAT, *NAMES] and known["files"] == {
            name: host.stamp(path) for name, path in files.items()
        }:
            return Tools(known["identity"], files)
    files = _content()
    identity = digest.of_json([FORMAT, *([name, digest.of_file(path)] for name, path in files.items())])
    stamps = {name: host.stamp(path) for name, path in files.items()}
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        atomic.write_json(memo, {"of": [FORMAT, *NAMES], "identity": identity, "files": stamps})
    return Tools(identity, files)


def _content() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name in NAMES:
        program = Path(host.program(name)).resolve()
        try:
            with program.open("rb") as file, elf.opened(file) as opened:
                interpreter = next((part.get_interp_name() for part in opened.iter_segments("PT_INTERP")), None)
            found |= libraries.closure(program, interpreter) if interpreter else {}
        except (NoVerdict, elf.DamagedElf) as error:
            raise BpfcompatError(
                f"{program} cannot be shipped into the guest: {error}",
                f"install one that can: apt-get install {host.PACKAGES.get(name, name)}",
            ) from error
        found[f"/usr/sbin/{name}"] = program
    return dict(sorted(found.items()))


def pack(tools: Tools, image: Path) -> None:
    """Make the disk; raises BpfcompatError, OSError."""
    image.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tools.", dir=image.parent) as name:
        tree = Path(name) / "tree"
        for path, source in tools.files.items():
            target = tree / "root" / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o755)
        disk.make(tree, Path(name) / "disk", _MIB)
        (Path(name) / "disk").replace(image)

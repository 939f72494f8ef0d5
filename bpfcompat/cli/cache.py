"""`bpfcompat cache`: what is kept for all projects, and how to make it smaller."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from pathlib import Path

from bpfcompat.cli import common
from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import rootfs
from bpfcompat.kernels import store
from bpfcompat.project import WORKDIR_NAME
from bpfcompat.records import VerdictStore
from bpfcompat.report import plain
from bpfcompat.system import host
from bpfcompat.vm import bootimage


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "action", nargs="?", choices=("show", "prune", "export", "import"), default="show",
        help="show what is kept for all projects (the default); prune boot images;"
        " export this folder's verdicts and their logs to a file; or import such a file",
    )  # fmt: skip
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="to export to, or to import")
    parser.add_argument(
        "--workdir", type=Path, default=Path(WORKDIR_NAME), metavar="DIR",
        help="whose verdicts are exported, or where they go (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--to", metavar="SIZE", help=f"prune to that much, like 500M (default: ${host.BOOT_IMAGES_VARIABLE}, else 4G)"
    )
    parser.add_argument(
        "--unused", type=int, metavar="DAYS", help="prune the kernels, too, that were not booted for so many days"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show or prune the cache, or bring verdicts out or in; raises BpfcompatError."""
    if (options.file is not None) != (options.action in {"export", "import"}):
        needs = "needs a file" if options.file is None else "takes no file"
        raise BpfcompatError(f"cache {options.action} {needs}.", "bpfcompat cache export verdicts.tar.gz")
    if options.file:
        return _export(options) if options.action == "export" else _import(options)
    cache = host.cache_folder()
    limit = host.size(options.to, "--to") if options.to else host.boot_images_bytes()
    if options.action == "prune":
        dropped = bootimage.prune(cache, limit)
        disks, freed = rootfs.prune(cache, limit)
        if disks:
            sys.stdout.write(f"dropped {disks} disks of guest.rootfs ({_megabytes(freed)})\n")
        freed = sum(image.size_bytes for image in dropped)
        sys.stdout.write(f"dropped {len(dropped)} boot images ({_megabytes(freed)})\n")
        if options.unused is not None:
            count, freed = store.prune(cache, _days(options.unused))
            sys.stdout.write(f"dropped {count} kernels ({_megabytes(freed)} with what was packed for them)\n")
    else:
        _show(cache, limit)
    return 0


def _days(number: int) -> int:
    if number < 1:
        raise BpfcompatError(
            f"--unused {number} is not a number of days.", "write --unused 30; what runs today is kept"
        )
    return number


def _export(options: argparse.Namespace) -> int:
    from bpfcompat.workflow import transfer

    verdicts = VerdictStore(options.workdir.absolute())
    target = common.writable(options.file, "cache export")
    if target is None or not any(verdicts.records()):
        raise BpfcompatError(
            f"there are no verdicts in {options.workdir}.", "run something first, or add --workdir DIR"
        )
    try:
        count = transfer.export(verdicts, target, socket.gethostname())
    except OSError as error:
        raise BpfcompatError(f"{options.file} cannot be written: {error.strerror or error}.") from error
    sys.stdout.write(f"exported {count} verdicts to {options.file}\n")
    return 0


def _import(options: argparse.Namespace) -> int:
    from bpfcompat.workflow import transfer

    found = transfer.take(VerdictStore(options.workdir.absolute()), options.file)
    known = f"; {found.known} were known here already" if found.known else ""
    sys.stdout.write(f"imported {found.taken} verdicts of {plain(found.sender)}{known}\n")
    return 0


def _show(cache: Path, limit: int) -> None:
    from tabulate import tabulate

    images = bootimage.kept(cache)
    rows = [(folder.name, len(list(folder.iterdir())), _megabytes(_used(folder))) for folder in _folders(cache)]
    sys.stdout.write(f"{cache}\n\n{tabulate(rows, ['what', 'entries', 'size'], disable_numparse=True)}\n")
    if images:
        now = time.time()
        used = [(image.name, _megabytes(image.size_bytes), _age(now - image.used)) for image in images]
        total = sum(image.size_bytes for image in images)
        sys.stdout.write(f"\n{tabulate(used, ['boot image', 'size', 'last used'], disable_numparse=True)}\n")
        sys.stdout.write(f"\nboot images: {_megabytes(total)} of at most {_megabytes(limit)}\n")


def _folders(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("*") if path.is_dir())


def _used(folder: Path) -> int:
    """Return the bytes that a folder takes on disk, holes not counted."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"

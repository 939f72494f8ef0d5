"""`bpfcompat cache`: what is kept for all projects, and how to make it smaller."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bpfcompat import bootimage, host


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "action", nargs="?", choices=("show", "prune"), default="show",
        help="show what is kept (the default), or prune boot images",
    )  # fmt: skip
    parser.add_argument(
        "--to", metavar="SIZE", help=f"prune to that much, like 500M (default: ${host.BOOT_IMAGES_VARIABLE}, else 4G)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show or prune the cache; raises BpfcompatError for a size that is none."""
    cache = host.cache_folder()
    limit = host.size(options.to, "--to") if options.to else host.boot_images_bytes()
    if options.action == "prune":
        dropped = bootimage.prune(cache, limit)
        freed = sum(image.size_bytes for image in dropped)
        sys.stdout.write(f"dropped {len(dropped)} boot images ({_megabytes(freed)})\n")
    else:
        _show(cache, limit)
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

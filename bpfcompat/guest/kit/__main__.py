"""`python -m bpfcompat.guest.kit [build|lock|compiler|pack] [ARCH] [FILE]`: what `./dev kit` and `./dev wheel` call."""

from __future__ import annotations

import sys
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.errors import BpfcompatError
from bpfcompat.guest.kit import build, lock
from bpfcompat.system import host


def _say(text: str) -> None:
    sys.stderr.write(f"kit: {text}\n")


def main(verb: str = "build", arch: str = "", file: str = "") -> int:
    """Do what is asked, and return an exit code.

    arch: amd64 or arm64; empty means this machine's.
    """
    try:
        guest = architecture.of(arch)
        if verb == "lock":
            lock.write(guest)
        elif verb == "compiler":
            sys.stdout.write(f"{build.compiler(host.cache_folder(), guest)}\n")
        else:
            made = build.build(host.cache_folder(), _say, guest)
            if verb == "pack":
                build.pack(made, Path(file))
            sys.stdout.write(f"{made.identity}\n")
    except (BpfcompatError, OSError) as error:
        sys.stderr.write(f"kit: {error}\n")
        return 1
    return 0


sys.exit(main(*sys.argv[1:]))

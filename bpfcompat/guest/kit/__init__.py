"""The kit: the same guest on every host. What runs in every guest beside its kernel, built once from pinned parts.

It is known by the digest of its content, which is in the key of every verdict: two hosts with the same kit share verdicts.
A wheel brings it along; in a clone the first run builds it into the cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.guest.kit.contents import Kit, find
from bpfcompat.system import host

__all__ = ["C_LIBRARY", "Kit", "find", "made", "tool"]

C_LIBRARY = (2, 36)
"""The version of glibc that the kit's dynamic programs bring, Debian 12's."""


def tool(program: str) -> list[str]:
    """Return the words that run one of the kit's programs on this machine; raises BpfcompatError.

    program: its path in the guest.
    """
    say = lambda text: print(f"bpfcompat: {text}", file=sys.stderr)  # noqa: E731
    return made(host.cache_folder(), say, architecture.host()).command(program)


def made(cache: Path, say: Callable[[str], None], guest: Architecture) -> Kit:
    """Return the kit of an architecture, built first if need be, which takes a minute and a half; raises BpfcompatError.

    say: called with what goes on.
    """
    found = find(cache, guest)
    if found is None:
        from bpfcompat.guest.kit import build  # with it come lzma and tarfile

        found = build.build(cache, say, guest)
    return found

"""Mirrors of vendors' repositories that a user has: what stands in place of the beginning of a URL."""

from __future__ import annotations

import os
import re

from bpfcompat.errors import BpfcompatError

VARIABLE = "BPFCOMPAT_MIRRORS"
_PAIR = re.compile(r"(\S+?)=((?:https?|file)://\S*)")


def _pairs() -> list[tuple[str, str]]:
    """Return beginnings and what stands in their place, the longest first; raises BpfcompatError."""
    said = os.environ.get(VARIABLE, "").split()
    pairs = [_PAIR.fullmatch(word) for word in said]
    if bad := [word for word, pair in zip(said, pairs, strict=True) if pair is None]:
        raise BpfcompatError(
            f"{VARIABLE} holds '{bad[0]}', which is not URL=URL.",
            f"export {VARIABLE}='https://repo.almalinux.org/almalinux/=https://mirror.example/almalinux/'",
        )
    return sorted(((pair[1], pair[2]) for pair in pairs if pair), key=lambda pair: -len(pair[0]))


def mapped(url: str) -> str:
    """Return where a vendor's URL is fetched from here."""
    return next((there + url[len(here) :] for here, there in _pairs() if url.startswith(here)), url)


def unmapped(url: str, base: str) -> str:
    """Return the vendor's own URL of what was found at `url` below the mirror of `base`."""
    there = mapped(base)
    return base + url[len(there) :] if url.startswith(there) else url

"""What a job may name that is to come out of its guest (init/collect.c does it)."""

from __future__ import annotations

from bpfcompat.errors import BpfcompatError
from bpfcompat.guest.protocol import OUTBOX_MIB

LIMIT_MIB_AT_MOST = OUTBOX_MIB - 64
"""The outbox holds the streams, and a header for each file, too."""


def pattern(text: str, where: object) -> str:
    """Return a pattern as the guest takes it; raises BpfcompatError for one that names nothing below the working directory.

    where: what the user wrote it in, for the message.
    """
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts or not parts or "\0" in text:
        raise BpfcompatError(
            f"{where}: '{text}' names nothing below the command's working directory.",
            "name files by patterns like `cover/**` or `core.*`, relative to it and without `..`",
        )
    return "/".join(parts)


def limit(mib: int, where: object) -> int:
    """Return how much may come out, in MiB; raises BpfcompatError for what the outbox has no room for."""
    if not 1 <= mib <= LIMIT_MIB_AT_MOST:
        raise BpfcompatError(
            f"{where}: from 1M to {LIMIT_MIB_AT_MOST}M can be collected.", "write `collect_limit: 64M`"
        )
    return mib

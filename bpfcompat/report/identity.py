"""The content address of what was tested (docs/contract.md), as the published bpfcompat computes it."""

from __future__ import annotations

import hashlib

from bpfcompat.dataclass import dataclass


@dataclass(frozen=True)
class Identity:
    """What a command without an artifact is known by."""

    invocation_sha256: str
    artifact_sha256: str


def of_command(command: str, expected_exit: int, binary_sha256: str | None) -> Identity:
    """Return the identity of a command and the binary that it is run with, if any."""
    invocation = _sha256(command.strip().encode(errors="surrogateescape") + b"\0expected-exit=%d" % expected_exit)
    seed = invocation if binary_sha256 is None else f"{invocation}\0{binary_sha256}"
    return Identity(invocation, _sha256(seed.encode()))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

"""What a guest got of the host's processors, as the host's scheduler counts it."""

from __future__ import annotations

import time
from pathlib import Path

from bpfcompat.dataclass import dataclass


@dataclass(frozen=True)
class Share:
    """What the threads of a process had by some moment, in seconds."""

    ran: float
    """On a processor."""
    waited: float
    """Ready to run, but not running: others had the processors."""
    at: float
    """The moment, on time.monotonic()'s clock."""


def of(process: int) -> Share | None:
    """Return what a process had so far; None where the kernel does not say, or it is gone."""
    ran = waited = 0
    try:
        for thread in Path(f"/proc/{process}/task").iterdir():
            one, other, _ = (thread / "schedstat").read_text().split()
            ran, waited = ran + int(one), waited + int(other)
    except (OSError, ValueError):
        return None
    return Share(ran / 1e9, waited / 1e9, time.monotonic())


def lack(before: Share | None, now: Share | None) -> str:
    """Return a sentence's part on a guest that wanted to run most of the time and was kept from it; empty if it was not.

    One that sleeps wants no processor, and one that got more than half of what it wanted was slow, but not stopped.
    """
    if before is None or now is None:
        return ""
    passed, ran, waited = now.at - before.at, now.ran - before.ran, now.waited - before.waited
    if ran >= waited or ran + waited < passed / 2:
        return ""
    return (
        f"this machine was overloaded: in these {passed:.0f} s the guest had a processor for {ran:.0f} s,"
        f" and waited for one for {waited:.0f} s"
    )

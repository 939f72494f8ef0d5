"""How to run, as opposed to what."""

from __future__ import annotations

from bpfcompat.dataclass import dataclass


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what."""

    jobs: int | None = None
    """Guests at once; None means as many as this machine can carry."""
    force: bool = False
    failed: bool = False
    """Run only what did not pass last time."""
    offline: bool = False
    cold: bool = False
    """Boot every machine from its start."""
    keep: bool = False
    """Leave the run's temporary files, the payload disks among them, and say where."""
    cluster: str | None = None
    """Address of dask's scheduler; empty means this machine, None what $BPFCOMPAT_CLUSTER or the project says."""
    boot_seconds: float | None = None
    """For the boot; None means 30, and more on a slow machine."""
    total_seconds: float | None = None
    """For one boot and one command together; None means 180, or more where their own limits add up to more."""

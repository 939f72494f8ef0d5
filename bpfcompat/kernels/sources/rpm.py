"""Kernels in RPM packages: `rpm:FILE` or `rpm:URL`, for instance kernel-core, with `modules:` naming kernel-modules."""

from bpfcompat.kernels.sources.deb import LOCAL, fetch

__all__ = ["LOCAL", "fetch"]

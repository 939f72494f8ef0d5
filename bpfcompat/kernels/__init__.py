"""Kernels by name: fetched from their sources, checked, and kept in one store.

In comes a profile, whose kernel is named like `apt:bookworm/linux-image-cloud-amd64`; out comes a `Kernel`: its image, its
modules and its configuration on this disk, known by their digests. `sources/` has one module for each kind of name.
"""

from bpfcompat.kernels.resolve import (
    address,
    fetch,
    forget,
    has_headers,
    is_taken,
    is_vendor,
    newest,
    pinned,
    refuse_foreign,
    refuse_unknown_architecture,
    renewed,
    use,
)

__all__ = [
    "address", "facts", "features", "fetch", "forget", "has_headers", "is_taken", "is_vendor", "knowledge", "lock", "needs",
    "newest", "pinned", "refuse_foreign", "refuse_unknown_architecture", "renewed", "sources", "store", "sweep", "use",
    "vendors",
]  # fmt: skip

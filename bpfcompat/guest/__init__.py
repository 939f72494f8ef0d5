"""What runs inside a guest: init, the userland and the tools around it, the payload, and the validator of objects.

In come a check's files, and the kit that is the same on every host; out come an initramfs and disk images, each known by its digest.
`init/` and `validator/` are C; `protocol` says what the host and init agree on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpfcompat.guest.protocol import JOB_WINDOW, LAYOUT, OUTBOX_MIB, PAYLOAD_MIB, PROTOCOL, STREAM_KEPT, VALIDATOR

if TYPE_CHECKING:
    from bpfcompat.guest.kit import Kit

__all__ = [
    "JOB_WINDOW",
    "LAYOUT",
    "OUTBOX_MIB",
    "PAYLOAD_MIB",
    "PROTOCOL",
    "STREAM_KEPT",
    "VALIDATOR",
    "Kit",
    "archive",
    "collect",
    "embedded",
    "image", "initramfs",
    "kit",
    "payload",
    "preflight",
    "rootfs",
    "shares",
    "tools",
    "validator",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name != "Kit":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bpfcompat.guest.kit import Kit  # a third of the imports that a machine needs before QEMU is started

    return Kit

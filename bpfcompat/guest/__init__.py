"""What runs inside a guest: init, the userland and the tools around it, the payload, and the validator of objects.

In come a check's files, and the kit that is the same on every host; out come an initramfs and disk images, each known by its digest.
`init/` and `validator/` are C; `protocol` says what the host and init agree on.
"""

from bpfcompat.guest.kit import Kit
from bpfcompat.guest.protocol import JOB_WINDOW, LAYOUT, OUTBOX_MIB, PROTOCOL, STREAM_KEPT, VALIDATOR

__all__ = [
    "JOB_WINDOW",
    "LAYOUT",
    "OUTBOX_MIB",
    "PROTOCOL",
    "STREAM_KEPT",
    "VALIDATOR",
    "Kit",
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

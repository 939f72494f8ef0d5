"""What runs inside a guest: init, the userland and the tools around it, the payload, and the validator of objects.

In come a check's files and programs of this machine; out come an initramfs and disk images, each known by its digest.
`init/` and `validator/` are C; `protocol` says what the host and init agree on.
"""

from bpfcompat.guest.protocol import JOB_WINDOW, PROTOCOL, STREAM_KEPT, VALIDATOR

__all__ = [
    "JOB_WINDOW", "PROTOCOL", "STREAM_KEPT", "VALIDATOR", "build", "initramfs", "payload", "preflight", "rootfs", "tools",
    "validator",
]  # fmt: skip

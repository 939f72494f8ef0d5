"""What the host and init agree on."""

PROTOCOL = "6"
JOB_WINDOW = 2048
"""Bytes of a job that the guest takes at once."""
STREAM_KEPT = 256 * 1024
"""Bytes that the guest keeps of the beginning, and of the end, of each of the command's streams."""
OUTBOX_MIB = 1024
"""Virtual size of the disk that carries things out, sparse on the host. It is part of what a guest is saved with."""
PAYLOAD_MIB = 1024
"""The same of the disk that brings the payload."""
VALIDATOR = "/bpfcompat/payload/validator/validator"
"""Where the validator is in the guest of a check that needs it."""
LAYOUT = 1
"""Counts the ways in which a guest is put together of the kit and its kernel."""

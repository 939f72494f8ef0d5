"""`python -m bpfcompat`."""

from bpfcompat.cli import entry

entry()

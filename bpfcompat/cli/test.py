"""`bpfcompat test`: as test-command, with the long flags of the published tool."""

from __future__ import annotations

import argparse

from bpfcompat.cli import test_command


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    test_command.add_flags(parser, "--command", "--command-binary", "--command-expect-exit")

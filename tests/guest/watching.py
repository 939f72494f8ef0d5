"""A running `bpfcompat watch`, for tests and for the bench."""

import re
import subprocess
import sys
from pathlib import Path


class Watch:
    """A running `bpfcompat watch`, whose lines are read as they come."""

    def __init__(self, folder: Path) -> None:
        # Whoever runs us in the background may ignore SIGINT, which children inherit.
        line = ["env", "--default-signal=INT", sys.executable, "-m", "bpfcompat", "watch"]
        self.process = subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def next(self, pattern: str) -> str:
        """Read on to the next line with a pattern."""
        assert self.process.stdout
        for line in self.process.stdout:
            if re.search(pattern, line):
                return line
        raise AssertionError(f"it ended before {pattern!r}")

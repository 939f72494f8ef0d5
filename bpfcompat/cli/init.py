"""`bpfcompat init`: the two files that a repo needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic

PROJECT = """\
# What to run, and where. `doit` boots every kernel of the matrix in a throw-away machine and runs the command as root.
# All keys: docs/bpfcompat.yaml.md. Paths are relative to this file.
command: uname -r                # for instance: $BPFCOMPAT_BIN --self-test
# binary: build/myloader         # $BPFCOMPAT_BIN in the guest; link it statically
# artifact: build/probe.bpf.o    # $BPFCOMPAT_ARTIFACT in the guest; without a command it is loaded and attached
# files: [config.toml, data/]    # copied into the working directory
matrix: quick                    # 5.10, 6.1 and the newest; or mvp, a file, or a list of your own
# timeout: 60s
"""

DODO = '''\
"""doit runs this folder's bpfcompat.yaml: `doit`, `doit list --all --status`, `doit run kernel:debian-12-6.1`, `doit -n 4`."""

from pathlib import Path

from bpfcompat.tasks import doit_config, doit_tasks

DOIT_CONFIG = doit_config(Path(__file__).parent)


def task_bpfcompat():
    yield from doit_tasks(Path(__file__).parent)
'''


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where to write them (default: here)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the files; raises BpfcompatError rather than replace one."""
    files = {options.folder / "bpfcompat.yaml": PROJECT, options.folder / "dodo.py": DODO}
    for path in files:
        if path.exists() or path.is_symlink():
            raise BpfcompatError(
                f"{path} exists already; nothing was written.", f"edit it, or move it away: mv {path} {path}.old"
            )
    try:
        for path, text in files.items():
            atomic.write(path, text.encode())
    except OSError as error:
        raise BpfcompatError(f"{error.filename} cannot be written: {error.strerror}.") from error
    sys.stdout.write(f"wrote {' and '.join(str(path) for path in files)}; now edit the command, and run `doit`\n")
    return 0

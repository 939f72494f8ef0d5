"""`bpfcompat cluster keys DIR`: what the machines of a cluster know one another by."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bpfcompat.errors import BpfcompatError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", choices=("keys",), help="write ca.pem, cert.pem and key.pem")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that is not there yet, or empty")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write a new certificate and its key; raises BpfcompatError if they cannot be made, or there are some already."""
    from bpfcompat.workflow import keys

    folder: Path = options.folder
    try:
        keys.write(folder)
    except FileExistsError as error:
        raise BpfcompatError(f"there is something in {folder} already.", "name another folder") from error
    except OSError as error:
        raise BpfcompatError(f"{folder} cannot be written: {error.strerror}.") from error
    files = " ".join(
        f"--tls-{name}{'-file' if name == 'ca' else ''} {folder}/{name}.pem" for name in ("ca", "cert", "key")
    )
    sys.stdout.write(
        f"wrote {folder}: copy it to every machine of the cluster, and to nobody else\n"
        f"  dask scheduler --protocol tls {files}\n"
        f"  dask worker tls://SCHEDULER:8786 {files}\n"
        f"  cluster: {{address: tls://SCHEDULER:8786, tls: {folder}}}     # in bpfcompat.yaml\n"
    )
    return 0

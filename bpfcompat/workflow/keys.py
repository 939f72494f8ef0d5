"""Keys of a cluster, as dask makes them: one certificate that is its own authority, the same for all roles."""

from __future__ import annotations

import os
from pathlib import Path

from bpfcompat.errors import BpfcompatError


def write(folder: Path) -> None:
    """Write ca.pem, cert.pem and key.pem into a new folder that only its owner can read.

    They hold for a year. Raises BpfcompatError without dask and cryptography; FileExistsError, OSError.
    """
    try:
        from distributed.security import Security

        made = Security.temporary()
    except ImportError as error:
        raise BpfcompatError(
            "keys need dask and cryptography, which are not installed.", "pip install 'bpfcompat[cluster]'"
        ) from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise FileExistsError(folder)
    found = {"ca": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for name, text in found.items():
        handle = os.open(folder / f"{name}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)

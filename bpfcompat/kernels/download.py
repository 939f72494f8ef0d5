"""Files that are named by a path or by a URL."""

from __future__ import annotations

import re
import shutil
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.outcome import Classification

_URL = re.compile(r"https?://")
_SECONDS = 30.0


def is_url(name: str) -> bool:
    """Tell whether a name is a URL."""
    return bool(_URL.match(name))


def brought(name: str, root: Path, folder: Path, client: tuple[str, str] | None = None) -> Path:
    """Return a file: where it is, or where it was downloaded to.

    root: what paths are relative to.
    folder: where downloads go.
    client: a certificate and its key for a server that asks for one.
    Raises NoVerdict (KERNEL_UNAVAILABLE) if it cannot be had whole.
    """
    if not is_url(name):
        path = root / name
        if not path.is_file():
            raise _unavailable(f"there is no file {path}.", "correct the path, or fetch the file")
        return path
    target = folder / (name.partition("?")[0].rpartition("/")[2] or "download")
    try:
        context = _context(client) if client else None
        with urllib.request.urlopen(name, timeout=_SECONDS, context=context) as answer, target.open("xb") as file:  # noqa: S310
            shutil.copyfileobj(answer, file)
            promised = answer.headers.get("Content-Length")
    except (OSError, HTTPException, ValueError) as error:
        raise _unavailable(
            f"{name} cannot be fetched: {getattr(error, 'reason', error)}.", "check the network and the URL"
        ) from error
    if promised is not None and target.stat().st_size != int(promised):
        size = target.stat().st_size
        raise _unavailable(f"{name} came with {size:,} of {int(promised):,} bytes.", "run again")
    return target


def _context(client: tuple[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_cert_chain(*client)
    return context


def _unavailable(message: str, hint: str) -> NoVerdict:
    return NoVerdict(Classification.KERNEL_UNAVAILABLE, message, hint)

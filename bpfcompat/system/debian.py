"""Debian's archive as this machine sees it: the mirror, and files that are named by their digests."""

from __future__ import annotations

import functools
import os
import re
import shutil
from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic, digest, processes

MIRROR_VARIABLE = "BPFCOMPAT_DEBIAN_MIRROR"
_SECONDS = 60.0
_TEMPLATES = Path("/usr/share/python-apt/templates/Debian.info")
"""What python-apt, which every Ubuntu has, knows of Debian."""
_SCRIPTS = Path("/usr/share/debootstrap/scripts")


@functools.cache
def mirrors() -> tuple[str, str]:
    """Return the mirror of Debian's archive and that of its security archive; raises BpfcompatError if none is known.

    The variable comes first, then this machine's own sources, then what other programs here know of Debian.
    """
    chosen = os.environ.get(MIRROR_VARIABLE)
    main, security = (chosen.rstrip("/"), None) if chosen else _of_sources()
    main = main or _of_templates() or _of_debootstrap()
    if main is None:
        raise BpfcompatError(
            "nothing on this machine names a mirror of Debian's archive.",
            f"export {MIRROR_VARIABLE}=URL of a mirror (it ends in /debian)",
        )
    return main, security or f"{main}-security"


def _of_sources() -> tuple[str | None, str | None]:
    """Return the mirrors that this machine's apt uses."""
    main = security = None
    if not shutil.which("apt-get"):
        return None, None
    # --print-uris names what would be fetched, so it works with any format of sources and before the first update.
    listed = processes.check(["apt-get", "update", "--print-uris"], doing="reading this machine's apt sources").decode(
        errors="replace"
    )
    for base, suite in re.findall(r"^'(\S+?)/dists/(\S+?)/InRelease'", listed, re.MULTILINE):
        if base.rstrip("/").endswith("debian-security") or (suite.endswith("-security") and "debian" in base):
            security = security or base
        elif base.rstrip("/").endswith("debian"):
            main = main or base
    return main, security


def _of_templates() -> str | None:
    try:
        found = re.search(r"^BaseURI: (https?://\S+/debian)/?\s*$", _TEMPLATES.read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None


def _of_debootstrap() -> str | None:
    for script in (_SCRIPTS / "sid", _SCRIPTS / "debian-common"):
        try:
            found = re.search(r"^\s*default_mirror (https?://\S+/debian)/?\s*$", script.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return found[1]
    return None


def file(path: str, sha256: str, folder: Path) -> Path:
    """Return a file of the archive, fetched unless it is there already.

    path: below the mirror, as its index has it: pool/main/...
    sha256: of its content, hex; it stands for the signature.
    folder: where files are kept, by their digests.
    Raises BpfcompatError for a file that is not there any more, or is another.
    """
    import urllib.error  # 8 ms, which a run of stored kernels need not take
    import urllib.request
    from http.client import HTTPException

    target = folder / sha256
    if target.is_file():
        return target
    name = path.rpartition("/")[2]
    url = f"{mirrors()[0]}/{path}"
    try:
        with atomic.written(target) as out, urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310
            shutil.copyfileobj(answer, out)
    except urllib.error.HTTPError as error:
        raise BpfcompatError(
            f"the mirror does not have {name} (HTTP {error.code}).", f"choose another: {MIRROR_VARIABLE}"
        ) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise BpfcompatError(f"{name} cannot be fetched: {reason}.", "check the network, and run again") from error
    if (found := digest.of_file(target)) != sha256:
        target.unlink()
        raise BpfcompatError(f"{name} came with the SHA-256 {found}, and {sha256} is wanted.", "check the mirror")
    return target

"""Documents that users write: their values, and the line of each. What was read once is kept by its content."""

from __future__ import annotations

import contextlib
import json
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.system import atomic, digest, host

if TYPE_CHECKING:
    from bpfcompat.project.yamltext import Parsed

_BYTES_AT_MOST = 8 << 20
_FORMAT = 1
"""Counts the ways in which YAML is understood here."""
_KEPT = 256

Location = tuple[Any, ...]
"""Keys and indexes that lead from the top of a document to a value."""


@dataclass(frozen=True)
class Document:
    """A YAML file's value, and where it stands."""

    path: Path
    value: Any
    sha256: str
    """Of the file."""
    _content: bytes = field(repr=False, default=b"")
    _read: Parsed | None = field(repr=False, default=None)
    """None if its value was kept from an earlier run."""

    @cached_property
    def _parsed(self) -> Parsed:
        return self._read or _parse(self.path, self._content)

    def text(self, location: Location) -> str:
        """Return a plain value as it is written, so that 1.10 stays 1.10."""
        value = self.value
        for step in location:
            value = value[step]
        return value if isinstance(value, str) else self._parsed.text(location)

    def where(self, location: Location) -> Where:
        """Return what says "FILE:LINE" of the value at `location`, or of the innermost part of it that exists."""
        return Where(self, location)

    def line(self, location: Location) -> int:
        """Return the line of the value at `location`, or of the innermost part of it that exists."""
        return self._parsed.line(location)


class Where(NamedTuple):
    """A place in a document; its line is looked up when somebody reads it, since only a mistake needs it."""

    document: Document
    location: Location

    def __str__(self) -> str:
        return f"{self.document.path}:{self.document.line(self.location)}"


def read(path: Path) -> Document:
    """Read one YAML document.

    Raises BpfcompatError, with file and line, for a file that cannot be read or is not YAML, for a key that
    stands twice in a mapping, and for a document that is too large, too deep or expands to too much.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_AT_MOST + 1)
    except OSError as error:
        raise BpfcompatError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > _BYTES_AT_MOST:
        raise BpfcompatError(f"{path} is larger than {_BYTES_AT_MOST >> 20} MiB; is it the right file?")
    sha256 = digest.of_bytes(content)
    kept = host.cache_folder() / "documents" / f"{sha256}.{_FORMAT}.json"
    with contextlib.suppress(OSError, ValueError):  # not read before, or torn
        (value,) = json.loads(kept.read_bytes())
        return Document(path, value, sha256, content)
    found = _parse(path, content)
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        _keep(found.value, kept)
    return Document(path, found.value, sha256, content, found)


def _parse(path: Path, content: bytes) -> Parsed:
    from bpfcompat.project import yamltext  # with it comes yaml, which nobody needs for a file that was read before

    return yamltext.parse(path, content)


def _keep(value: Any, path: Path) -> None:
    """Keep a value that is the same when it comes back: JSON has no keys but texts, and no dates."""
    text = json.dumps([value], allow_nan=False)
    if json.loads(text) != [value]:
        return
    atomic.write(path, text.encode())
    files = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[_KEPT:]:
        file.unlink(missing_ok=True)

"""A place for objects that several machines share: a folder, a web server, a bucket. The only module that knows fsspec."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

from bpfcompat.errors import BpfcompatError

_TRIES = 3
_PAUSE = 0.25
"""Seconds before the second try; four times as long before the third."""
_SECONDS = 20
"""For one request."""
_REFUSED = (400, 401, 403, 405, 413, 501)
"""What a web server says to what it will not do the next time either."""
_T = TypeVar("_T")


class Unreachable(Exception):  # noqa: N818  # not a mistake of anybody's
    """A place that does not answer, or refuses; the text says why, as its library does."""


class SharedPlace:
    """Objects by name, each written whole. Methods are called from several threads."""

    def __init__(self, url: str) -> None:
        """Nothing is connected yet.

        url: of the folder that holds the objects: file, http, https, s3, gs, or a path.
        Raises BpfcompatError for one that no installed library can open.
        """
        self.url = url.rstrip("/")
        try:
            import fsspec
            from fsspec.implementations.local import LocalFileSystem

            self._files, self._root = fsspec.url_to_fs(self.url, **_limits(self.url.partition(":")[0]))
            self._is_local = isinstance(self._files, LocalFileSystem)
        except ImportError as error:
            raise BpfcompatError(
                f"`store: {url}` needs a library that is not installed ({error.name or error}).",
                "pip install 'bpfcompat[store]'; for gs, pip install gcsfs",
            ) from error
        except ValueError as error:
            raise BpfcompatError(
                f"`store: {url}` cannot be opened: {error}.", "write a path, or a URL of http, https, s3 or gs"
            ) from error

    def get(self, name: str) -> bytes | None:
        """Return an object, or None if there is none; raises Unreachable."""

        def read() -> bytes | None:
            with contextlib.suppress(FileNotFoundError):
                return bytes(self._files.cat_file(f"{self._root}/{name}"))
            return None

        return _tried(read)

    def put(self, name: str, data: bytes) -> None:
        """Write an object; a reader sees all of it or nothing. Raises Unreachable."""
        path = f"{self._root}/{name}"

        def write() -> None:
            if self._is_local:  # only a folder lets a half-written object be seen
                fresh = f"{path}.{secrets.token_hex(6)}"
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(fresh, data)
                self._files.mv(fresh, path)
            else:
                self._files.pipe_file(path, data)

        _tried(write)


def _limits(protocol: str) -> dict[str, Any]:
    """Return how long a library waits, in its own words; each has its own default, of minutes."""
    if protocol in {"http", "https"}:
        import aiohttp

        return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=_SECONDS)}}
    if protocol == "s3":
        return {"config_kwargs": {"connect_timeout": 5, "read_timeout": _SECONDS, "retries": {"total_max_attempts": 1}},
                "use_listings_cache": False}  # fmt: skip
    return {}


def _tried(action: Callable[[], _T]) -> _T:
    """Do what may fail for a moment, at most three times; what was refused is not asked for again."""
    for number in range(1, _TRIES + 1):
        try:
            return action()
        except Exception as error:  # each library raises its own
            refused = isinstance(error, PermissionError) or getattr(error, "status", 0) in _REFUSED
            if refused or number == _TRIES:
                raise Unreachable(" ".join(str(error).split()) or type(error).__name__) from error
        time.sleep(_PAUSE * 4 ** (number - 1))
    raise AssertionError("unreachable")

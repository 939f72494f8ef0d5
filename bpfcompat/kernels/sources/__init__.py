"""Where kernels come from: a module for each kind, whose name stands before the colon of a kernel's name.

A module has one function, `fetch(asked: Asked) -> Fetched`, which raises NoVerdict (KERNEL_UNAVAILABLE) with what to do, and
may have `LOCAL = True` if what it names is on this machine, so that --offline does not forbid it; `exact(rest, version) -> str`,
the name of exactly what was fetched as `version`; `resolve(asked: Asked) -> str`, the version that it would bring now;
`headers(asked: Asked, release: str, version: str) -> Path`, a folder with the headers of what `fetch` told of that version; and
`described(cache: Path) -> str`, what it asks, in words.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from types import ModuleType

from bpfcompat.dataclass import dataclass
from bpfcompat.model import Profile


@dataclass(frozen=True)
class Asked:
    """What a source is asked for."""

    rest: str
    """What stands behind the colon."""
    profile: Profile
    cache: Path
    folder: Path
    """Empty, to work in; it is gone afterwards."""


@functools.cache
def names() -> tuple[str, ...]:
    """Return the kinds of sources that there are."""
    # pkgutil.iter_modules would import `inspect`, which takes longer than all else that `exec` does with a kernel's name.
    modules = {path.name.partition(".")[0] for path in Path(__file__).parent.glob("*.py")}
    return tuple(sorted(modules - {"__init__"}))


def load(name: str) -> ModuleType:
    """Return the module of a kind of source."""
    return importlib.import_module(f"{__name__}.{name}")

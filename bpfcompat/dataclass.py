"""The standard library's `dataclass`, whose methods are made when the first instance is.

It makes them by compiling text: 0.8 ms a class in Python 3.11, of which a run imports fifty and uses half. That was half of
the time which the imports took.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    class _Inspect(ModuleType):
        """Stands where `dataclasses` has `inspect`, which it asks only about classes without a docstring; half of its import is that."""

        def __getattr__(self, name: str) -> Any:
            if sys.modules.get("inspect") is self:
                del sys.modules["inspect"]
            import inspect

            return getattr(inspect, name)

    if "dataclasses" not in sys.modules and "inspect" not in sys.modules:
        sys.modules["inspect"] = _Inspect("inspect")
    import dataclasses

    if isinstance(sys.modules.get("inspect"), _Inspect):
        del sys.modules["inspect"]

    _lock = threading.RLock()

    def dataclass(kind: type | None = None, /, *, frozen: bool = False) -> type | Callable[[type], type]:
        """Make a dataclass, as `dataclasses.dataclass` does.

        kind: its class; left out where the decorator has arguments.
        frozen: whether its fields are set once only.
        """
        return (lambda kind: _later(kind, frozen)) if kind is None else _later(kind, frozen)

    def _later(kind: type, frozen: bool) -> type:
        """Have a class made into a dataclass when it is first asked for an instance or for its fields."""
        made = False

        def make() -> None:
            nonlocal made
            with _lock:  # another thread may ask for an instance meanwhile
                if not made:
                    kind.__doc__ = kind.__doc__ or kind.__name__  # else `dataclasses` asks `inspect` for one
                    dataclasses.dataclass(frozen=frozen)(kind)
                    made = True

        def instance(cls: type, *_: object, **__: object) -> Any:
            if not made:
                make()
            return object.__new__(cls)

        kind.__new__ = instance
        kind.__dataclass_fields__ = _Fields(make)
        return kind

    class _Fields:
        """Stands where a dataclass has its fields until it is made, which sets them."""

        def __init__(self, make: Callable[[], None]) -> None:
            self._make = make

        def __get__(self, _: object, kind: type) -> dict[str, dataclasses.Field[Any]]:
            self._make()
            return kind.__dataclass_fields__

"""The standard library's `dataclass`, whose fields are found when the first instance is made, and whose methods are not compiled.

The library makes them of text, with six compilations a class: 0.5 ms in Python 3.11. A run imports fifty classes and makes instances
of half of them, which took `exec` 14 of 200 ms. What is here does the same with functions that know the names of the fields; only the
text of a TypeError is another.
"""

from __future__ import annotations

import operator
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
                    dataclasses.dataclass(init=False, repr=False, eq=False)(kind)
                    _add_methods(kind, dataclasses.fields(kind), frozen)
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

    def _add_methods(kind: type, fields: tuple[dataclasses.Field[Any], ...], frozen: bool) -> None:
        """Give a class the methods that it has not written itself."""
        methods = {
            "__init__": _initializer(kind, fields),
            "__repr__": _description(fields),
            **_comparison(fields, frozen),
        }
        if frozen:
            methods |= {"__setattr__": _Frozen.__setattr__, "__delattr__": _Frozen.__delattr__}
        for name, method in methods.items():
            if name not in vars(kind):
                setattr(kind, name, method)

    def _initializer(kind: type, fields: tuple[dataclasses.Field[Any], ...]) -> Callable[..., None]:
        names = [field.name for field in fields if field.init]
        defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
        factories = {
            field.name: field.default_factory for field in fields if field.default_factory is not dataclasses.MISSING
        }
        whole = {*names, *defaults, *factories}
        unasked = whole.difference(names)
        has_more = hasattr(kind, "__post_init__")

        def initialize(self: Any, *values: Any, **named: Any) -> None:
            given = len(values) + len(named)
            if values:
                named.update(zip(names, values, strict=False))
            wrong = len(named) != given or not unasked.isdisjoint(named)
            if given < len(whole):
                named = {**defaults, **named}
                for name, factory in factories.items():
                    if name not in named:
                        named[name] = factory()
            if wrong or named.keys() != whole:
                raise TypeError(f"{kind.__name__}() takes {names}; it got {len(values)} values and {sorted(named)}")
            object.__setattr__(self, "__dict__", named)
            if has_more:
                self.__post_init__()

        return initialize

    def _description(fields: tuple[dataclasses.Field[Any], ...]) -> Callable[[Any], str]:
        names = [field.name for field in fields if field.repr]

        def describe(self: Any) -> str:
            return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

        return describe

    def _comparison(fields: tuple[dataclasses.Field[Any], ...], frozen: bool) -> dict[str, Any]:
        names = [field.name for field in fields if field.compare]
        content: Callable[[Any], Any] = operator.attrgetter(*names) if names else lambda _: ()

        def equals(self: Any, other: object) -> bool:
            return content(self) == content(other) if other.__class__ is self.__class__ else NotImplemented

        return {"__eq__": equals, "__hash__": (lambda self: hash(content(self))) if frozen else None}

    class _Frozen:
        """The methods of a class whose fields are set once only."""

        def __setattr__(self, name: str, _: object) -> None:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

        def __delattr__(self, name: str) -> None:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

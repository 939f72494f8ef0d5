"""Reading YAML: bounded, without surprises, and with the line of every value at hand. The only place that knows YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import yaml

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError

_VALUES_AT_MOST = 1_000_000
_DEPTH_AT_MOST = 64

# The C parser reads 1,000 profiles in 0.05 s, the Python one in 0.5 s; wheels have it, some distributions do not.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):  # type: ignore[misc]
    """YAML 1.2's plain words: `on`, `no` and `y` are texts, not truth values, and 010 is ten."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


@dataclass(frozen=True)
class Parsed:
    """A document's value and its nodes."""

    value: Any
    root: yaml.Node | None

    def text(self, location: tuple[Any, ...]) -> str:
        """Return a plain value as it is written."""
        node = self.root
        for step in location:
            node, _ = _child(node, step)
        return node.value if isinstance(node, yaml.ScalarNode) else ""

    def line(self, location: tuple[Any, ...]) -> int:
        """Return the line of the value at `location`, or of the innermost part of it that exists."""
        node = self.root
        line = 1
        for step in location:
            node, mark = _child(node, step)
            if mark is None:
                break
            line = mark.line + 1
        return line


def _child(node: yaml.Node | None, step: Any) -> tuple[yaml.Node | None, yaml.Mark | None]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value, key.start_mark
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark
    return None, None


def parse(path: Path, content: bytes) -> Parsed:
    """Return what a file's content says; raises BpfcompatError as `document.read` does.

    path: of the file, for messages.
    """
    try:
        loader = _Loader(content)
        try:
            root = loader.get_single_node()
            _check(path, root)
            return Parsed(loader.construct_document(root) if root is not None else None, root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise BpfcompatError(f"{place}: this is not YAML: {error.problem or error.context}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise BpfcompatError(f"{path}: this is not YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise BpfcompatError(f"{path} is nested too deeply.") from error


def _check(path: Path, root: yaml.Node | None) -> None:
    """Refuse what would cost too much to look at; aliases make a small file stand for a huge value."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int, above: frozenset[int]) -> int:
        if id(node) in above:
            raise BpfcompatError(f"{path}:{node.start_mark.line + 1}: an alias refers to the value that it stands in.")
        if depth > _DEPTH_AT_MOST:
            raise BpfcompatError(f"{path}:{node.start_mark.line + 1}: nested deeper than {_DEPTH_AT_MOST} levels.")
        if id(node) not in sizes:
            inside = above | {id(node)}
            sizes[id(node)] = 1 + sum(size(child, depth + 1, inside) for child in _children(path, node))
        if sizes[id(node)] > _VALUES_AT_MOST:
            raise BpfcompatError(f"{path}:{node.start_mark.line + 1}: expands to more than {_VALUES_AT_MOST:,} values.")
        return sizes[id(node)]

    if root is not None:
        size(root, 0, frozenset())


def _children(path: Path, node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise BpfcompatError(
                        f"{path}:{key.start_mark.line + 1}: the key '{key.value}' stands here a second time."
                    )
                seen.add(key.value)
            yield key
            yield value

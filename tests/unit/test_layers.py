"""The house: rooms in their order, imports only downward, no circles, and of other rooms only what their faces hand on."""

import ast
import functools
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import bpfcompat

PACKAGE = Path(bpfcompat.__file__).parent

ROOMS = [
    ["dataclass", "validation", "model", "outcome", "errors", "architecture"],
    ["verdict"],
    ["system"],
    ["records"], ["guest"], ["kernels"],
    ["vm"], ["project"], ["report"],
    ["workflow"],
    ["", "tasks"],
    ["cli"],
    ["__main__"],
]  # fmt: skip
"""Bottom first. What stands at the top of the package are the words, below, and the public API, above."""

FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
MODULES = {
    ".".join(part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def _room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


@functools.cache
def _nodes(path: Path):
    return list(ast.walk(ast.parse(path.read_text())))


def _imports(path: Path):
    """Yield (module, name) for everything of the package that a module imports; the name is None for a whole module."""
    for node in _nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bpfcompat":
            below = node.module.partition(".")[2]
            for alias in node.names:
                inner = f"{below}.{alias.name}".strip(".")
                yield (inner, None) if inner in MODULES and not below else (below, alias.name)
        if isinstance(node, ast.Import):
            yield from (
                (alias.name.partition(".")[2], None) for alias in node.names if alias.name.split(".")[0] == "bpfcompat"
            )


def test_every_room_has_its_floor():
    assert {_room(module) for module in MODULES} == set(FLOOR)


def test_rooms_import_only_from_floors_below():
    upward = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other, _ in _imports(path)
        if _room(other) != _room(module) and FLOOR[_room(other)] >= FLOOR[_room(module)]
        and not (FLOOR[_room(other)] == FLOOR[_room(module)] == 0)
    ]  # fmt: skip
    assert not upward


def test_of_other_rooms_only_faces_are_imported():
    """`from bpfcompat.room import name`, with a name that the room's __init__ hands on, or `from bpfcompat import room`."""
    behind = []
    for module, path in MODULES.items():
        for other, name in _imports(path):
            if _room(other) == _room(module) or FLOOR[_room(other)] == 0:
                continue
            face = importlib.import_module(f"bpfcompat.{_room(other)}".rstrip("."))
            if other != _room(other) or (name and name not in face.__all__):
                behind.append(f"{module} imports {name or 'all'} of {other}")
        behind += [f"{module} uses {room}.{name}" for room, name in _used(path) if _room(module) != room]
    assert not behind


def _used(path: Path):
    """Yield what a module takes out of rooms that it has imported as a whole, unless their faces hand it on."""
    rooms = {other for other, name in _imports(path) if name is None and FLOOR.get(other)}
    handed_on = {room: importlib.import_module(f"bpfcompat.{room}").__all__ for room in rooms}
    for node in _nodes(path):
        used = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in rooms
        if used and node.attr not in handed_on[node.value.id]:
            yield node.value.id, node.attr


def test_there_are_no_circles():
    graph = {
        module: {f"{other}.{name}" if f"{other}.{name}" in MODULES else other for other, name in _imports(path)}
        - {module, _room(module)}  # a module of a room may name its own face
        for module, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "room", [room for room in FLOOR if (PACKAGE / room / "__init__.py").exists() and room != "cli" and room]
)
def test_a_face_hands_on_what_is_there_and_says_what_happens_behind_it(room):
    face = importlib.import_module(f"bpfcompat.{room}")
    for name in face.__all__:
        assert hasattr(face, name) or importlib.import_module(f"bpfcompat.{room}.{name}")
    assert face.__doc__.count(".") >= 2


def test_each_library_is_known_to_few_modules():
    users: dict[str, set[str]] = {
        "doit": set(),
        "pexpect": set(),
        "yaml": set(),
        "jinja2": set(),
        "distributed": set(),
        "fsspec": set(),
    }
    for name, path in MODULES.items():
        for node in _nodes(path):
            roots = (
                [node.module]
                if isinstance(node, ast.ImportFrom)
                else ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
            )
            for root in roots:
                if (root or "").split(".")[0] in users and isinstance(node, ast.Import | ast.ImportFrom):
                    users[root.split(".")[0]].add(name)
    assert users == {
        "doit": {"workflow.tasks", "workflow.through_doit"},
        "pexpect": {"vm.console"},
        "yaml": {"project.yamltext"},
        "jinja2": {"report.html"},
        "distributed": {"workflow.cluster.coordinator", "workflow.cluster.worker", "workflow.keys"},
        "fsspec": {"records.shared"},
    }


def test_the_path_that_boots_nothing_loads_no_library_of_the_boot():
    """`bpfcompat init` and a run of stored verdicts must not pay for pexpect, ELF files or JSON Schema of reports."""
    code = "import sys, bpfcompat.cli; print([m for m in ('pexpect', 'elftools', 'jsonschema', 'doit', 'tabulate') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_a_run_of_stored_verdicts_loads_no_library_that_only_others_need():
    code = "import sys; from bpfcompat.workflow import session, engine; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    others = {"pexpect", "statistics", "tarfile", "concurrent.futures", "dask", "distributed", "fsspec", "watchdog"}
    assert others.isdisjoint(loaded)

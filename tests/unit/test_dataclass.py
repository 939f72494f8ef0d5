"""A dataclass that is made with its first instance is one of the standard library's."""

import copy
import dataclasses
import importlib
import inspect
import pickle
import re
import subprocess
import sys
import threading

import pytest

from bpfcompat.dataclass import dataclass

from .test_layers import MODULES


@dataclass(frozen=True)
class Point:
    """Two numbers."""

    x: int
    y: int = 2
    more: dict = dataclasses.field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Named(Point):
    name: str = ""


@dataclass
class Changes:
    seen: list = dataclasses.field(default_factory=list, init=False)

    def __post_init__(self):
        self.seen.append("made")


def test_it_is_one():
    assert (Point(1), Point(1, more={3: 4}), hash(Point(1))) == (Point(1, 2), Point(1), hash(Point(1, 2)))
    assert Point(1) != Point(2)
    assert repr(Named(1, name="a")) == "Named(x=1, y=2, more={}, name='a')"
    assert dataclasses.replace(Named(1), name="b") == Named(1, name="b")
    assert dataclasses.asdict(Point(1)) == {"x": 1, "y": 2, "more": {}}
    assert (Changes(), Changes().seen) == (Changes(), ["made"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        Point(1).x = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        del Point(1).x
    with pytest.raises(TypeError, match="unhashable"):
        hash(Changes())


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((), {"y": 1}), ((1, 2, {}, 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1})]
)
def test_what_it_is_made_of_is_looked_at(values, named):
    said = re.escape("Point() takes ['x', 'y', 'more']; it got ")
    with pytest.raises(TypeError, match=said):
        Point(*values, **named)
    for wrong in (lambda: Changes(["not asked"]), lambda: Changes(seen=["not asked"])):
        with pytest.raises(TypeError, match=r"takes \[\]"):
            wrong()


def test_what_a_class_has_written_itself_stays():
    @dataclass(frozen=True)
    class Own:
        x: int = 1

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 5

        def __repr__(self):
            return "own"

    assert (Own(1) == Own(2), hash(Own()), repr(Own())) == (True, 5, "own")


def test_its_fields_and_its_copies_need_no_instance_before():
    @dataclass(frozen=True)
    class Lone:
        x: int = 1

    assert dataclasses.is_dataclass(Lone)
    assert [field.name for field in dataclasses.fields(Named)] == ["x", "y", "more", "name"]
    assert copy.deepcopy(Lone()) == Lone()
    code = "import pickle, sys; one = pickle.loads(sys.stdin.buffer.read()); print(one, one == one, hash(one) != 0)"
    loaded = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(Point(1)), capture_output=True, check=True)
    assert loaded.stdout == b"Point(x=1, y=2, more={}) True True\n"


def test_many_threads_may_ask_for_the_first_instance():
    for _ in range(50):

        @dataclass(frozen=True)
        class Shared:
            x: int = 1

        start, found = threading.Barrier(8), []

        def ask(start=start, found=found, kind=Shared):
            start.wait()
            found.append(kind(3))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [Shared(3)] * 8


@pytest.mark.parametrize("module", sorted(name for name in MODULES if not name.endswith("__main__")))
def test_each_of_ours_can_be_made(module):
    """A mistake in one would show with its first instance only."""
    loaded = importlib.import_module(f"bpfcompat.{module}".rstrip("."))
    for kind in vars(loaded).values():
        if inspect.isclass(kind) and kind.__module__ == loaded.__name__ and dataclasses.is_dataclass(kind):
            assert isinstance(dataclasses.fields(kind), tuple)
            assert "instance" not in inspect.signature(kind.__init__).parameters

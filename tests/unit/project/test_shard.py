"""Which kernels a shard has: each kernel in one, on every machine the same, and about as much in each."""

import random
from pathlib import Path

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Check, Matrix, Profile, Project
from bpfcompat.project import shard


def profiles(number, **changed):
    return tuple(Profile(f"k{index}", f"apt:x/{index}", **changed) for index in range(number))


def project(rows, root="/tmp", command="true"):
    return Project((Check(command, root=Path(root)),), Matrix(rows), Path(root))


@pytest.mark.parametrize("number", [1, 2, 5, 60])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_every_profile_is_in_one_part_and_no_part_is_empty(number, count, seed):
    dice = random.Random(seed)
    rows = profiles(number)
    seconds = {row.id: dice.choice([0.0, 0.3, 1, 40]) for row in rows if dice.random() < 0.7}
    if count > number:
        with pytest.raises(BpfcompatError, match="a kernel is not divided"):
            shard.take(project(rows), f"1/{count}", seconds)
        return
    parts = shard.assign(rows, count, seconds)
    assert sorted((row.id for part in parts for row in part), key=lambda name: int(name[1:])) == [
        row.id for row in rows
    ]
    assert all(parts)


def test_profiles_of_one_kernel_stay_together():
    rows = tuple(Profile(f"p{index}", f"apt:x/{index // 4}", memory=512 + index) for index in range(40))
    for part in shard.assign(rows, 4, {}):
        assert len(part) == 4 * len({row.kernel for row in part})


def test_the_parts_take_about_as_long_by_what_the_history_says():
    rows = profiles(60)
    dice = random.Random(1)
    seconds = {row.id: dice.uniform(0.3, 8) for row in rows}
    loads = [sum(seconds[row.id] for row in part) for part in shard.assign(rows, 6, seconds)]
    assert max(loads) <= 1.35 * sum(loads) / 6


def test_a_kernel_that_was_added_moves_few_others():
    before, after = shard.assign(profiles(60), 6, {}), shard.assign(profiles(61), 6, {})
    moved = sum(len({row.id for row in old} - {row.id for row in new}) for old, new in zip(before, after, strict=True))
    assert moved <= 12


def test_it_does_not_matter_where_the_project_lies():
    here, there = (shard.take(project(profiles(9, root=Path(root)), root), "2/3", {}) for root in ("/a", "/b"))
    assert here.shard == there.shard
    assert [row.id for row in here.matrix.profiles] == [row.id for row in there.matrix.profiles]


def test_another_command_is_another_plan():
    assert (
        shard.take(project(profiles(3)), "1/2", {}).shard
        != shard.take(project(profiles(3), command="x"), "1/2", {}).shard
    )


@pytest.mark.parametrize("text", ["0/3", "4/3", "x", "1/0", "1", "-1/3", "1/3/5"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(BpfcompatError, match="is not a part of a matrix"):
        shard.take(project(profiles(9)), text, {})

"""One of several parts of a matrix: which kernels it has, the same on every machine that is told the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from statistics import median

from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Profile, Project, Shard
from bpfcompat.system import digest

_SLACK = 1.1
"""How much more than its part a shard may get, so that a kernel stays where it was when durations change a little."""


def take(project: Project, text: str, seconds: Mapping[str, float]) -> Project:
    """Return a project with the I-th of N parts of its matrix; raises BpfcompatError for a part that there is not.

    text: I/N.
    seconds: how long a profile takes, by its id, as far as that is known.
    """
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    index, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= index <= count:
        raise BpfcompatError(f"--shard {text} is not a part of a matrix.", "write --shard 1/4 for the first of four")
    profiles = project.matrix.profiles
    kernels = {_kernel(profile) for profile in profiles}
    if count > len(kernels):
        raise BpfcompatError(
            f"--shard {text}: the matrix has {len(kernels)} kernels, and a kernel is not divided.",
            f"write --shard I/{len(kernels)}, or less",
        )
    parts = assign(profiles, count, seconds)
    checks = [[one.name, one.command, asdict(one.expect), dict(one.env), str(one.ready)] for one in project.checks]
    plan = digest.of_json([[[profile.id for profile in part] for part in parts], checks])
    names = tuple(profile.id for profile in profiles)
    mine = replace(project.matrix, profiles=parts[index - 1])
    return replace(project, matrix=mine, shard=Shard(index, count, plan, names))


def assign(profiles: tuple[Profile, ...], count: int, seconds: Mapping[str, float]) -> list[tuple[Profile, ...]]:
    """Return the profiles of each part, in the order of the matrix; what has the same kernel stays together.

    A kernel goes where its hash sends it, the longest first, unless that part has enough: so each part takes about as
    long, and a kernel that was added moves few others. No part is left empty.
    """
    usual = median(seconds.values()) if seconds else 1.0
    weights: dict[str, float] = {}
    for profile in profiles:
        weights[_kernel(profile)] = weights.get(_kernel(profile), 0.0) + max(seconds.get(profile.id, usual), 0.001)
    enough = max(sum(weights.values()) / count * _SLACK, *weights.values())
    loads, place = [0.0] * count, {}
    heaviest = sorted(weights, key=lambda kernel: (-weights[kernel], digest.of_json(kernel)))
    for done, kernel in enumerate(heaviest):
        empty = [part for part in range(count) if not loads[part]]
        fitting = [part for part in range(count) if loads[part] + weights[kernel] <= enough]
        least = [min(range(count), key=loads.__getitem__)]
        open_to = empty if len(empty) >= len(heaviest) - done else fitting or least
        place[kernel] = max(open_to, key=lambda part: digest.of_json([kernel, part]))
        loads[place[kernel]] += weights[kernel]
    return [tuple(one for one in profiles if place[_kernel(one)] == part) for part in range(count)]


def _kernel(profile: Profile) -> str:
    """Return what tells a profile's kernel from others on every machine: its name, without this machine's paths."""
    return "|".join([profile.arch, profile.kernel, *profile.modules, profile.config or ""])

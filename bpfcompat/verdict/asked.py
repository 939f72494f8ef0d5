"""What a loader's own objects ask of the kernel, where its words alone do not tell which of several things that was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bpfcompat.model import Features
from bpfcompat.verdict import bpf, loaders

_CALLBACKS = (164, 170, 180, 181, 209)
"""Helpers that take a function of the program: to one that it does not know, a kernel says nothing of its name."""
_WAYS = {
    "fentry": 24, "fexit": 25, "fmod_ret": 26, "lsm": 27, "iter": 28, "sk_lookup": 36, "kprobe.multi": 42, "kretprobe.multi": 42,
    "lsm_cgroup": 43, "netfilter": 45, "tcx/ingress": 46, "tcx/egress": 47, "uprobe.multi": 48, "uretprobe.multi": 48,
    "netkit/primary": 54, "netkit/peer": 55, "kprobe.session": 56, "uprobe.session": 57,
}  # fmt: skip
"""The way to attach that a section's name asks for (libbpf 1.7)."""


def needed(stderr: str) -> bool:
    """Tell whether the objects of a loader tell more about what it printed."""
    return bool(re.search(loaders.CALLBACK_REFUSED, stderr) or re.search(loaders.NOT_ATTACHED, stderr))


def hints(asked: dict[str, Any] | None, stderr: str, features: Features | None) -> Iterator[str]:
    """Yield a sentence on the one thing that was asked for and refused; nothing where that is not known.

    asked: the `sections` of programs by their names, the numbers of `helpers`, and the kernel's `options`.
    features: what the kernel offers, if that is known.
    """
    if not asked:
        return
    if re.search(loaders.CALLBACK_REFUSED, stderr):
        for number in asked["helpers"]:
            if number in _CALLBACKS:
                name, since = bpf.HELPERS[number]
                yield f"The program calls {name} with a function of its own; upstream has {name} since Linux {since}."
    for refused in re.finditer(loaders.NOT_ATTACHED, stderr):
        yield from _way(refused[1], asked, features)


def _way(program: str, asked: dict[str, Any], features: Features | None) -> Iterator[str]:
    section = asked["sections"].get(program, "").lstrip("?")
    way = next(
        (way for way in sorted(_WAYS, key=len, reverse=True) if re.match(rf"{re.escape(way)}(?:\.s)?(?:/|$)", section)),
        "",
    )
    if not way:
        return
    name, since = bpf.ATTACH_TYPES[_WAYS[way]]
    if features and _WAYS[way] not in features.attach_types:
        yield f"The program {program} is attached by {name}, which this kernel does not know; upstream has it since Linux {since}."
    elif _WAYS[way] in (42, 56) and asked.get("options", {}).get("CONFIG_FPROBE") == "n":
        yield f"The program {program} is attached by {name}, which needs CONFIG_FPROBE; that is not set in this kernel's build."

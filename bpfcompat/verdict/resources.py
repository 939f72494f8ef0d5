"""What an object asks for, and what a guest has."""

from __future__ import annotations

import errno
import math

from bpfcompat.verdict.causes import Findings, name

_MIB = 1 << 20
_RINGBUFS = {27, 31}
_ARRAYS = {2}
_HASHES = {1, 9, 11, 13, 18, 25}
_NODE_BYTES = 48
"""Beside key and value in an element of a hash (struct htab_elem, 5.10 to 7.3)."""


def bytes_of(one: Findings) -> int | None:
    """Return about how much memory a map takes when it is made; None where that depends on more than it says."""
    entries, key, value = one["max_entries"], one.get("key_bytes", 0), one.get("value_bytes", 0)
    padded = (value + 7) // 8 * 8
    if one["type_id"] in _RINGBUFS:
        return int(entries)
    if one["type_id"] in _ARRAYS:
        return int(entries * padded)
    if one["type_id"] in _HASHES and not one.get("flags", 0) & 1:  # BPF_F_NO_PREALLOC
        return int(entries * (_NODE_BYTES + (key + 7) // 8 * 8 + padded))
    return None


def entries(one: Findings) -> str:
    """Return how many entries a map has, and of what size."""
    count = f"{one['max_entries']:,}"
    if one["type_id"] in _RINGBUFS:
        return f"{count} bytes"
    return f"{count} {'entry' if count == '1' else 'entries'} of {one.get('key_bytes', 0):,} + {one.get('value_bytes', 0):,} bytes"


def of_map(one: Findings, number: int, found: Findings) -> str:
    """Return the end of a sentence on a map that is too large."""
    size = entries(one)
    about = bytes_of(one)
    if about is not None and about >= _MIB and one["type_id"] not in _RINGBUFS:
        size += f", about {math.ceil(about / _MIB):,} MiB"
    if number == errno.ENOMEM:
        has = found["kernel"].get("memory_kib", 0) // 1024
        return f"it asks for {size}, and the guest has {has:,} MiB of memory ({name(number)})"
    return f"it asks for {size}, and this kernel limits such a map or its elements to less, whatever the memory ({name(number)})"


def advice(found: Findings) -> str:
    """Return the line that gives a guest more memory, for a map that it has not enough for; empty if it has no such map."""
    short = [
        one for one in found["maps"] if errno.ENOMEM in (one.get("load_create_errno"), one["create_errno"])
    ]  # fmt: skip
    if not short:
        return ""
    wanted = sum(bytes_of(one) or 0 for one in found["maps"]) / _MIB
    has = found["kernel"].get("memory_kib", 0) / 1024
    if wanted < has / 8 and all(bytes_of(one) is not None for one in short):
        return ""  # it is not this memory that there is too little of
    gib = 1
    while gib * 1024 < max(wanted * 1.25 + 512, has * 1.5):
        gib *= 2
    return f"Give the guest more memory: write `memory: {gib}G` in the profile, or make the map smaller."

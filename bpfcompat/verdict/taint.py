"""What taints a kernel: the number that it keeps decides, and what it said about it stands beside that."""

from __future__ import annotations

import re

from bpfcompat.outcome import Taint

_FLAGS = {
    0: ("P", "a proprietary module was loaded"),
    1: ("F", "a module was loaded by force"),
    2: ("S", "the processor is out of its specification"),
    3: ("R", "a module was unloaded by force"),
    4: ("M", "the processor reported a machine check"),
    5: ("B", "a bad page was found"),
    6: ("U", "a program asked for it"),
    7: ("D", "the kernel had an oops"),
    8: ("A", "an ACPI table was replaced"),
    9: ("W", "the kernel issued a warning"),
    10: ("C", "a module of the staging tree was loaded"),
    11: ("I", "a bug of the firmware was worked around"),
    12: ("O", "a module from outside of the kernel's tree was loaded"),
    13: ("E", "an unsigned module was loaded"),
    14: ("L", "a processor was stuck in the kernel (soft lockup)"),
    15: ("K", "the kernel was patched while it ran"),
    16: ("X", "the distribution's own flag"),
    17: ("T", "the kernel was built with randomised structures"),
    18: ("N", "a test ran inside the kernel"),
    19: ("J", "fwctl was used to debug a device"),
}
"""Bit -> letter and meaning: Documentation/admin-guide/tainted-kernels.rst of Linux 6.16."""

_COMPLAINT = re.compile(
    r"^[^\n]*(?:-+\[ cut here \]-+|\b(?:WARNING|BUG|Oops|UBSAN|KASAN|Internal error): |general protection fault)",
    re.MULTILINE,
)
_ENDS = (re.compile(r"---\[ end trace [^\n]*"), re.compile(r"</TASK>"))
"""A warning and an oops end with the first; a soft lockup with its call trace."""
_SPLAT_CHARACTERS = 4096
_SAID = frozenset("MBDWL")
"""Flags that a kernel sets with a complaint in its log."""


def flags(taint: Taint | None) -> list[str]:
    """Return the letters of what came while a command ran, as the kernel shows them; nothing if that is not known."""
    return [letter for letter, _ in _came(taint)]


def sentence(taint: Taint | None) -> str:
    """Return a sentence's part on what came while a command ran; empty if nothing did, or if that is not known."""
    came = ", ".join(f"{letter} ({meaning})" for letter, meaning in _came(taint))
    return f"the kernel was tainted meanwhile: {came}" if came else ""


def _came(taint: Taint | None) -> list[tuple[str, str]]:
    if taint is None:
        return []
    new = taint.after & ~taint.before
    return [
        _FLAGS.get(bit, (f"bit {bit}", "which this tool does not know"))
        for bit in range(new.bit_length())
        if new >> bit & 1
    ]


def splat(taint: Taint | None, console: str) -> str:
    """Return what a kernel said first about what tainted it, at most 4,096 characters; empty if nothing did, or it said nothing.

    console: its log since the command began.
    """
    found = _COMPLAINT.search(console) if _SAID.intersection(flags(taint)) else None
    if found is None:
        return ""
    said = console[found.start() :][:_SPLAT_CHARACTERS]
    end = next((match.end() for match in (pattern.search(said) for pattern in _ENDS) if match), len(said))
    return said[:end].strip()

"""Text from a guest, made fit for its readers."""

from __future__ import annotations

import datetime
import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NO_CHARACTER = re.compile(r"[\ud800-\udfff\ufffe\uffff]")


def plain(text: str) -> str:
    """Make text safe for a terminal, XML and HTML: no control characters but newline and tab, no direction overrides."""
    shown = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))
    return _NO_CHARACTER.sub("\ufffd", shown)


def short(text: str) -> str:
    """Return the first line of a text, at most 100 characters of it."""
    line = " ".join(text.splitlines()[:1])
    return line if len(line) <= 100 else line[:97] + "..."


def last_lines(text: str, count: int) -> str:
    """Return the last lines of a text."""
    return "\n".join(text.splitlines()[-count:])


def age(finished: str, now: datetime.datetime) -> str:
    """Return how long ago a time of a report was."""
    seconds = max(0, int((now - datetime.datetime.fromisoformat(finished.replace("Z", "+00:00"))).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"

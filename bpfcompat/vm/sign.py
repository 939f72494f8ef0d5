"""The sign that stands in a command's output: looked for while it comes in."""

from __future__ import annotations

import codecs
import re

_REACH = 16 * 1024
"""Characters before a new part of the output in which a match may begin."""


class Sign:
    """Looks for a pattern in a stream, as `expect` does in the whole of it."""

    def __init__(self, pattern: str) -> None:
        """pattern: a regular expression, with lines."""
        self._pattern = re.compile(pattern, re.MULTILINE)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._looked_at = 0

    def shows(self, data: bytes) -> bool:
        """Take the next part of the output, and tell whether the pattern has come, whatever may follow.

        The end of what has come so far is not the end of a line: `ready$` waits for one.
        """
        self._text += self._decoder.decode(data)
        start, self._looked_at = max(0, self._looked_at - _REACH), len(self._text)
        return all(self._pattern.search(f"{self._text}{next_one}", start) for next_one in ("\0", "x"))

    def shows_now(self) -> bool:
        """Tell whether the pattern has come if nothing follows."""
        return self._pattern.search(self._text) is not None

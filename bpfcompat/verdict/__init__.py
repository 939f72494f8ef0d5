"""What happened -> what it means.

In come a raw outcome, what the validator found, and the expectation; out come a verdict with its classification, and
hints. Everything here is pure: it reads no file and starts nothing.
"""

from bpfcompat.verdict.decide import decide, is_certain, mismatches, unknown_words, unseen

__all__ = [
    "asked", "bpf", "decide", "findings", "hints", "is_certain", "mismatches", "readiness", "results", "taint", "unknown_words",
    "unseen",
]  # fmt: skip

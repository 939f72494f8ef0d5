"""verdict."""

from bpfcompat.verdict.decide import decide, is_certain, mismatches, unseen

__all__ = ["decide", "is_certain", "mismatches", "unseen"]

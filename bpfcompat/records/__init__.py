"""Verdicts and runs on disk, below a project's work directory.

In come records and reports; out come the record of a content key, what a job's newest run found out, and the history of
runs as a chain of hashes. Every write is atomic, and a torn or foreign file counts as none.
"""

from bpfcompat.records.newest import Newest
from bpfcompat.records.store import VerdictStore

__all__ = ["Newest", "VerdictStore", "collected", "history", "manifests", "shared"]

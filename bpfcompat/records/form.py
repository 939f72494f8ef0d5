"""Records as JSON has them."""

from __future__ import annotations

import dataclasses
from typing import Any

from bpfcompat.outcome import (
    Classification,
    Collected,
    Counted,
    Observed,
    Outcome,
    OutcomeKind,
    Readiness,
    Record,
    Status,
    Stream,
    Taint,
    TestResult,
    Verdict,
)

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What comes of reading a file that is gone, torn or foreign."""


def plain(record: Record) -> dict[str, Any]:
    """Return a record as plain data."""
    value = dataclasses.asdict(record)
    del value["cached"]
    return value


def record(value: dict[str, Any]) -> Record:
    """Return the record that plain data describes; raises one of UNREADABLE for what describes none."""
    verdict, outcome = value["verdict"], value["outcome"]
    observed, taint, readiness = outcome["observed"], outcome.get("taint"), outcome.get("readiness")
    counted = outcome.get("counted")
    return Record(
        **{
            **value,
            "verdict": Verdict(
                **{**verdict, "status": Status(verdict["status"]), "classification": _classification(verdict)}
            ),
            "outcome": Outcome(
                **{
                    **outcome,
                    "kind": OutcomeKind(outcome["kind"]),
                    "classification": _classification(outcome),
                    "observed": Observed(**observed) if observed else None,
                    "results": tuple(TestResult(**one) for one in outcome.get("results", ())),
                    "readiness": Readiness(**readiness) if readiness else None,
                    "taint": Taint(**taint) if taint else None,
                    "counted": Counted(**counted) if counted else None,
                    "stdout": Stream(**outcome["stdout"]),
                    "stderr": Stream(**outcome["stderr"]),
                    "mismatches": tuple(outcome["mismatches"]),
                    "notes": tuple(outcome["notes"]),
                    "collected": tuple(Collected(**one) for one in outcome.get("collected", ())),
                }
            ),
        }
    )


def _classification(value: dict[str, Any]) -> Classification | None:
    return Classification(value["classification"]) if value["classification"] else None

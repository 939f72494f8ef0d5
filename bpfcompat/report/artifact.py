"""What report.json says of an artifact that the validator tried, beside what it says of every row."""

from __future__ import annotations

from typing import Any

from bpfcompat.outcome import Outcome
from bpfcompat.validation import Validation
from bpfcompat.verdict import bpf, findings


def fields(outcome: Outcome, validation: Validation | None) -> dict[str, Any]:
    """Return the fields `validation`, and where the validator came to its end `validator`, `btf`, `maps`, `programs`."""
    found = outcome.findings
    if validation is None or found is None:
        return {"validation": {"load_status": "skipped"}}
    optional = validation.may_stay_unattached
    return {
        "validation": {
            "load_status": findings.load_status(found),
            "attach_status": findings.attach_status(found, validation),
        },
        "validator": {
            "libbpf": found["libbpf"], "mode": found["mode"],
            "stderr_tail": outcome.stderr.tail, "stderr_bytes": outcome.stderr.total,
            "stderr_truncated": outcome.stderr.truncated,
            "duration_ms": round((outcome.command_seconds or 0.0) * 1000),
        },
        "btf": {"kernel": found["kernel"]["btf"], "object": found["object_btf"]},
        "maps": [_map(one) for one in found["maps"]],
        "programs": [_program(one, one["name"] not in optional) for one in found["programs"]],
    }  # fmt: skip


def _map(one: dict[str, Any]) -> dict[str, Any]:
    failed = {"create_errno": one["create_errno"] or one["fixup_errno"]}
    return {
        "name": one["name"], "type": _type(bpf.MAP_TYPES, one),
        "max_entries": one["max_entries"], "declared_max_entries": one["declared_max_entries"],
        **(failed if any(failed.values()) else {}),
    }  # fmt: skip


def _program(one: dict[str, Any], attach_required: bool) -> dict[str, Any]:
    words = {"loaded": "pass", "attached": "pass", "failed": "fail", "skipped": "skipped"}
    optional = {
        "load_errno": one["load_errno"], "attach_errno": one["attach_errno"], "attach_skipped": one["attach_skipped"],
        "verifier_log_tail": one.get("log"),
        "missing_helpers": [bpf.named(bpf.HELPERS, number, "helper") for number in one.get("missing_helpers", ())],
    }  # fmt: skip
    return {
        "name": one["name"], "section": one["section"], "type": _type(bpf.PROGRAM_TYPES, one),
        "load_status": words[one["load"]], "attach_status": words[one["attach"]],
        "part_of_object": one["wanted"], "attach_required": attach_required,
        **{name: value for name, value in optional.items() if value},
    }  # fmt: skip


def _type(table: dict[int, tuple[str, str]], one: dict[str, Any]) -> str:
    number: int = one["type_id"]
    return table[number][0] if number in table else str(one["type"] or f"type {number}")


def tests(outcome: Outcome, validation: Validation) -> list[dict[str, Any]]:
    """Return the functional tests, each as every row's test is told."""
    ended = {test.name: (one, passed) for test, one, passed in findings.tests(outcome.findings or {}, validation)}
    return [
        {
            "name": test.name, "required": test.required, "command": test.command, "expected_exit_code": test.exit,
            **(_ended(*ended[test.name]) if test.name in ended else _NOT_RUN),
        }
        for test in validation.tests
    ]  # fmt: skip


_NOT_RUN = {
    "status": "skipped", "exit_code": None, "stdout_tail": "", "stderr_tail": "", "stdout_bytes": 0, "stderr_bytes": 0,
    "stdout_truncated": False, "stderr_truncated": False, "duration_ms": 0, "timed_out": False,
}  # fmt: skip


def _ended(one: dict[str, Any], passed: bool) -> dict[str, Any]:
    streams = {
        key: value
        for name in ("stdout", "stderr")
        for key, value in {
            f"{name}_tail": one[name].strip(),
            f"{name}_bytes": one[f"{name}_bytes"],
            f"{name}_truncated": one[f"{name}_bytes"] > len(one[name].encode()),
        }.items()
    }
    return {
        "status": "pass" if passed else "fail",
        "exit_code": None if one["timed_out"] else findings.exit_code(one),
        **streams,
        "duration_ms": one["duration_ms"],
        "timed_out": one["timed_out"],
    }

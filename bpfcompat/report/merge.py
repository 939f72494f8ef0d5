"""The reports of all shards of a matrix -> the report that one run of the whole matrix would have written. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bpfcompat.errors import BpfcompatError
from bpfcompat.report import gate, view
from bpfcompat.system import digest

Report = dict[str, Any]


def merge(reports: dict[str, Report]) -> Report:
    """Return one report of the shards of one plan; raises BpfcompatError for what does not belong together, or is not all.

    reports: report.json values, by the names by which their reader knows them.
    """
    _refuse_strangers(reports)
    parts = sorted(reports.values(), key=lambda report: int(report["shard"]["index"]))
    first = parts[0]
    whole = first["shard"]["profiles"]
    targets = [target for report in parts for target in report["targets"]]
    targets.sort(key=lambda target: whole.index(target["profile_id"]))  # stable: checks stay in their order
    runs = [report["run"]["id"] for report in parts]
    started, finished = min(one["run"]["started_at"] for one in parts), max(one["run"]["finished_at"] for one in parts)
    # The same shards give the same id, however often they are merged.
    run = {
        "id": f"{max(runs).split('-')[0]}-{digest.of_json(runs)[:6]}",
        "started_at": started,
        "finished_at": finished,
    }
    merged = {
        **{name: value for name, value in first.items() if name != "shard"},
        "run": run, "matrix": {**first["matrix"], "profiles": whole}, "targets": targets, "merged": runs,
        "tool": {name: _all(report["tool"].get(name, "") for report in parts) for name in first["tool"]},
    }  # fmt: skip
    return {**merged, "summary": _summary(merged)}


def _all(values: Iterable[str]) -> str:
    """Return what all shards say, or all that they say."""
    return ", ".join(dict.fromkeys(value for value in values if value))


def _said(row: view.Row) -> tuple[str, str]:
    return gate.said(row.tails["stderr"], row.tails["stdout"], [(test.name, test.status) for test in row.tests])


def _summary(report: Report) -> dict[str, Any]:
    rows = view.read(report).rows
    return gate.weigh([
        gate.Weighed(
            row.name, row.check or "command", row.required, row.status, row.label, row.classification,
            (row.reason, *(() if "validator" in target else _said(row))), row.cached,
        )
        for row, target in zip(rows, report["targets"], strict=True)
    ]).described()  # fmt: skip


_SAME: dict[str, Callable[[Report], Any]] = {
    "divide the same matrix in the same way, or run the same checks": lambda report: (
        report["shard"]["count"], report["shard"]["plan"], report["shard"]["profiles"],
    ),
    "bring the same files": lambda report: report["artifact"]["sha256"],
    "run the same command": lambda report: report.get("command"),
    "say the same of the artifact": lambda report: report["artifact"].get("source"),
    "come from the same version of bpfcompat": lambda report: report["tool"]["version"],
    "boot in the same way (--cold)": lambda report: report["tool"]["boot"],
}  # fmt: skip
"""What shards that belong together have in common, in the words of the sentence that says that they do not."""


def _refuse_strangers(reports: dict[str, Report]) -> None:
    for name, report in reports.items():
        if "shard" not in report:
            raise BpfcompatError(f"{name} is not the report of a shard.", "merge what runs with --shard I/N wrote")
    first, *others = reports
    for name in others:
        for what, of in _SAME.items():
            if of(reports[name]) != of(reports[first]):
                raise BpfcompatError(
                    f"{first} and {name} do not {what}, so they are no shards of one run.",
                    "run all shards of the same build, with the same flags and from the same history",
                )
        _refuse_other_files(reports, first, name)
    _refuse_gaps(reports)


def _refuse_other_files(reports: dict[str, Report], first: str, name: str) -> None:
    ours, theirs = (reports[one]["shard"]["payloads"] for one in (first, name))
    for check in [check for check in ours if check in theirs and ours[check] != theirs[check]]:
        raise BpfcompatError(
            f"{first} and {name} ran the check '{check}' with other files, so they are no shards of one run.",
            "build once, and give all shards what was built",
        )


def _refuse_gaps(reports: dict[str, Report]) -> None:
    by_index: dict[int, str] = {}
    for name, report in reports.items():
        index, count = report["shard"]["index"], report["shard"]["count"]
        if index in by_index:
            raise BpfcompatError(
                f"{by_index[index]} and {name} are both shard {index}/{count}.", "name each shard once"
            )
        by_index[index] = name
    missing = [f"{index}/{count}" for index in range(1, count + 1) if index not in by_index]
    if missing:
        raise BpfcompatError(f"the report of shard {', '.join(missing)} is missing.", "name the reports of all shards")

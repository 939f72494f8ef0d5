"""report.json as typed rows: what every other output is made of, so that all of them tell the same story."""

from __future__ import annotations

import re
from typing import Any

from bpfcompat.dataclass import dataclass
from bpfcompat.outcome import Status
from bpfcompat.report import gate

_CHATTER = re.compile(r"(?:\[[ \d.]+\] )?(?:tsc|clocksource|sched_clock|hrtimer|random|rtc_cmos \S+|input|rcu): ")
"""What a kernel says about its own boot, which may still go on when the command runs."""

STREAMS = ("stderr", "stdout", "console")
"""A row's logs, in the order in which people ask for them."""


@dataclass(frozen=True)
class Program:
    """One program of an artifact, and what the kernel did with it."""

    name: str
    section: str
    load: str
    """pass, fail or skipped."""
    attach: str
    why: str
    """The end of the verifier's log, or why it was not attached; may be empty."""


@dataclass(frozen=True)
class Test:
    """One test that a command tells of."""

    name: str
    status: str
    """pass, fail or skipped."""
    seconds: float
    message: str


@dataclass(frozen=True)
class Row:
    """One target of a report: a check on a profile, and what became of it."""

    profile: str
    check: str
    """Empty where the report has one check only."""
    required: bool
    status: Status
    label: str
    """The status as people read it (gate.LABELS)."""
    classification: str
    stage: str
    """Where it failed: command, load, attach, functional, infra; empty if it did not."""
    reason: str
    hints: tuple[str, ...]
    notes: tuple[str, ...]
    release: str
    """The kernel as it called itself; empty if it never came up."""
    source: str
    """Where the kernel came from, with its version."""
    command: str
    expected_exit: int
    exit_code: int | None
    signal: str
    seconds: float
    """Boot included."""
    command_seconds: float
    cached: bool
    imported_from: str
    worker: str
    """The machine of a cluster that ran it; empty for the one that the run was started on."""
    finished_at: str
    boot: str
    tails: dict[str, str]
    """The last 4,096 bytes of stdout, stderr and, by the name of console, of what the kernel said."""
    logs: dict[str, str]
    """Paths by the same names; empty if nothing booted."""
    splat: str
    """What the kernel said about what tainted it; empty if nothing did."""
    collected: dict[str, str]
    """Where files that came out of the guest are, by their paths there."""
    qemu_command: str
    key: str
    programs: tuple[Program, ...]
    """Of an artifact that the validator tried; none for a command."""
    tests: tuple[Test, ...]
    """What the command told of its tests."""

    @property
    def name(self) -> str:
        """What the row is known by."""
        return f"{self.profile}/{self.check}" if self.check else self.profile

    @property
    def title(self) -> str:
        """The name, with what a reader of the table should not overlook."""
        return self.name if self.required else f"{self.name} (optional)"

    @property
    def kernel_log(self) -> str:
        """What the kernel said that may be about this run; nothing where libbpf's own log tells all: of an object's failure."""
        if self.stage in {"load", "attach", "functional"}:
            return ""
        if self.stage == "infra":
            return self.tails["console"]
        return "\n".join(line for line in self.tails["console"].splitlines() if not _CHATTER.match(line))

    @property
    def last_words(self) -> list[tuple[str, str]]:
        """What the streams tell about a failure, by their names: stdout where stderr tells nothing, or nobody came to an end."""
        silent = not self.tails["stderr"].strip() or self.exit_code is None
        told = [("stdout", self.tails["stdout"] if silent else ""), ("stderr", self.tails["stderr"])]
        return [(name, text) for name, text in (*told, ("the kernel log", self.kernel_log)) if text.strip()]

    @property
    def ending(self) -> str:
        """How the command ended: an exit code, a signal's name, or a dash."""
        return self.signal or ("-" if self.exit_code is None else str(self.exit_code))


@dataclass(frozen=True)
class Report:
    """A whole report, as its outputs need it."""

    run_id: str
    started_at: str
    finished_at: str
    subject: str
    """What was tested: the name of the artifact or the loader."""
    matrix: str
    tool: dict[str, str]
    rows: tuple[Row, ...]
    status: str
    """pass, fail or error: what the exit code says."""
    counts: dict[str, int]
    notes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The report in one line."""
        return gate.sentence(self.counts)

    @property
    def checks(self) -> tuple[str, ...]:
        """The names of the checks, in order; one empty name where there is only one check."""
        return tuple(dict.fromkeys(row.check for row in self.rows))

    def notes_of_passes(self) -> list[str]:
        """Return the notes of rows that passed; the same one of several rows is told once, with their names."""
        alike: dict[str, list[str]] = {}
        for row in self.rows:
            for note in row.notes if row.status is Status.PASS else ():
                alike.setdefault(note, []).append(row.name)
        return [
            f"{note} ({', '.join(names[:8])}{' and more' if len(names) > 8 else ''})" for note, names in alike.items()
        ]

    def by_profile(self) -> dict[str, dict[str, Row]]:
        """Return the rows as a grid: profile -> check -> row, in the order of the matrix."""
        grid: dict[str, dict[str, Row]] = {}
        for row in self.rows:
            grid.setdefault(row.profile, {})[row.check] = row
        return grid


def read(report: dict[str, Any]) -> Report:
    """Return a report.json, which must fit its schema, as typed rows."""
    run, summary = report["run"], report["summary"]
    matrix = report["matrix"]
    return Report(
        run_id=run["id"],
        started_at=run["started_at"],
        finished_at=run["finished_at"],
        subject=report["artifact"]["basename"],
        matrix=matrix.get("name") or matrix["path"],
        tool=report["tool"],
        rows=tuple(_row(target) for target in report["targets"]),
        status=summary["status"],
        counts=summary["counts"],
        notes=tuple(summary["notes"]),
    )


def _command(target: dict[str, Any]) -> dict[str, Any]:
    """Return what the row ran: its command, or the validator, which has no exit code that would mean anything."""
    if "validator" not in target and target["functional"]["tests"]:
        only: dict[str, Any] = target["functional"]["tests"][0]
        return only
    told = target.get("validator", {"mode": "", "stderr_tail": "", "duration_ms": 0})
    return {
        "command": f"validator --mode {told['mode']}" if told["mode"] else "validator", "expected_exit_code": 0, "exit_code": None,
        "stderr_tail": told["stderr_tail"], "stdout_tail": "", "duration_ms": told["duration_ms"],
    }  # fmt: skip


def _row(target: dict[str, Any]) -> Row:
    test, kernel = _command(target), target["kernel"]
    status = Status(target["status"])
    return Row(
        profile=target["profile_id"],
        check=target.get("check", ""),
        required=target["required"],
        status=status,
        label=gate.label_of(status, target.get("expected") == "fail"),
        classification=target.get("classification_code", ""),
        stage=target.get("failed_stage", ""),
        reason=target.get("classification_reason", ""),
        hints=tuple(target["hints"]),
        notes=tuple(target["notes"]),
        release=target["host"]["kernel"],
        source=" ".join(kernel[part] for part in ("source", "version") if kernel.get(part)),
        command=test["command"],
        expected_exit=test["expected_exit_code"],
        exit_code=test["exit_code"],
        signal=test.get("signal", ""),
        seconds=target["duration_ms"] / 1000,
        command_seconds=test["duration_ms"] / 1000,
        cached=target["cached"],
        imported_from=target.get("imported_from", ""),
        worker=target.get("worker", ""),
        finished_at=target["finished_at"],
        boot=target["boot"],
        tails={
            "stderr": test["stderr_tail"],
            "stdout": test["stdout_tail"],
            "console": target.get("kernel_log_tail", ""),
        },
        logs={name: target[f"{name}_log"] for name in STREAMS if f"{name}_log" in target},
        splat=target.get("kernel_taint", {}).get("splat", ""),
        collected={one["path"]: one["file"] for one in target.get("collected", ())},
        qemu_command=target["qemu_command"],
        key=target["key"],
        programs=tuple(_program(one) for one in target.get("programs", ())),
        tests=tuple(
            Test(one["name"], one["status"], one["duration_ms"] / 1000, one["stderr_tail"])
            for one in target["functional"]["tests"]
            if "told_by" in one
        ),
    )


def _program(one: dict[str, Any]) -> Program:
    why = one.get("verifier_log_tail") or one.get("attach_skipped", "")
    return Program(one["name"], one["section"], one["load_status"], one["attach_status"], why)

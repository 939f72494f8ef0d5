"""report.json: a run as the contract's JSON (schemas/report.schema.json)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bpfcompat import architecture
from bpfcompat.model import VERSION, Ready, Shipped
from bpfcompat.outcome import COLLECTED, Outcome, OutcomeKind, Readiness, Record, Run, Stream, Target, TestResult
from bpfcompat.report import artifact, gate, identity
from bpfcompat.system import digest, processes
from bpfcompat.verdict import hints, readiness, taint


def render(run: Run, paths: dict[str, str], source: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a run as a JSON value.

    paths: where the reports are written, by format.
    source: what the user said about the artifact (name, version, variant, uri).
    """
    matrix = run.project.matrix
    described = {"path": str(matrix.path or ""), "profiles": [profile.id for profile in matrix.profiles]}
    return {
        "schema_version": "v0.1",
        "run": {"id": run.id, "started_at": run.started_at, "finished_at": run.finished_at},
        "tool": {
            "version": VERSION,
            "qemu": run.qemu,
            "accelerator": run.accelerator,
            "accelerator_reason": run.accelerator_reason,
            "boot": run.boot,
        },
        **_subject(run, source),
        "matrix": {**described, **({"name": matrix.name} if matrix.name else {})},
        **_shard(run),
        "targets": [_target(target, run) for target in run.targets],
        "summary": gate.summarize(run).described(),
        "paths": {**paths, "run_dir": str(run.project.workdir)},
    }


def _shard(run: Run) -> dict[str, Any]:
    """Return which part of a larger matrix this run had, and what its files were, by which shards know one another."""
    if run.project.shard is None:
        return {}
    payloads = {name: payload.digest for name, payload in run.payloads.items()}
    return {"shard": {**asdict(run.project.shard), "profiles": list(run.project.shard.profiles), "payloads": payloads}}


def _subject(run: Run, source: dict[str, str] | None) -> dict[str, Any]:
    """Return what was tested: the first check's command, and its artifact or what stands for one."""
    check = run.project.checks[0]
    payload = run.payloads.get(check.name)
    binary, shipped = (payload.binary, payload.artifact) if payload else (None, None)
    own = identity.of_command(check.command, check.expect.exit, binary.sha256 if binary else None)
    command: dict[str, Any] = {"invocation_sha256": own.invocation_sha256, "expected_exit_code": check.expect.exit}
    if binary:
        command["binary"] = _file(binary)
    if shipped:
        subject = {"path": str(check.artifact), **_file(shipped)}
    else:
        base = binary.basename if binary else "command"
        size = binary.size_bytes if binary else len(check.command.strip().encode(errors="surrogateescape"))
        subject = {"path": f"command://{base}", "basename": base, "sha256": own.artifact_sha256, "size_bytes": size}
    described = {"artifact": {**subject, **({"source": source} if source else {})}}
    return described if check.validation else {**described, "command": command}


def _file(file: Shipped) -> dict[str, Any]:
    return {"basename": file.basename, "sha256": file.sha256, "size_bytes": file.size_bytes}


def _target(target: Target, run: Run) -> dict[str, Any]:
    record, verdict, profile = target.record, target.record.verdict, target.job.profile
    distro, _, version = profile.id.rpartition("-")
    declared = {
        "distro": distro,
        "version": version,
        "kernel_family": version,
        "kernel": profile.kernel,
        "arch": architecture.of(profile.arch).uname,
    }
    optional = {
        "failed_stage": verdict.failed_stage,
        "classification_code": verdict.classification.value if verdict.classification else None,
        "classification_confidence": verdict.confidence if verdict.classification else None,
        "classification_reason": verdict.reason or None,
        "expected": "fail" if profile.expects_failure else None,
        "infra_error": verdict.reason if verdict.failed_stage == "infra" else None,
        "check": target.job.check.name if len(run.project.checks) > 1 else None,
        "imported_from": record.imported_from or None,
        "worker": record.worker or None,
        "kernel_log_tail": record.outcome.kernel_log or None,
        "kernel_taint": _taint(record.outcome),
    }
    return {
        "profile_id": profile.id,
        "required": profile.required,
        "status": verdict.status.value,
        "profile": declared,
        "host": _observed(record.outcome, declared),
        "kernel": record.kernel,
        **artifact.fields(record.outcome, target.job.check.validation),
        "functional": _functional(target, run.project.redact),
        **{name: value for name, value in optional.items() if value is not None},
        "hints": list(hints.of(record, run.features.get(profile.id))),
        "cached": record.cached,
        "key": record.key,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "duration_ms": round(record.seconds * 1000),
        **_evidence(record, run.project.workdir),
        "boot": record.boot,
        "qemu_command": record.qemu_command,
        "notes": list(record.outcome.notes),
    }


def _observed(outcome: Outcome, declared: dict[str, str]) -> dict[str, str]:
    seen = outcome.observed
    if seen is None:
        return {"distro": "", "version": "", "kernel_family": "", "kernel": "", "arch": ""}
    family = ".".join(seen.release.split("-")[0].split(".")[:2])
    return {
        "distro": declared["distro"],
        "version": seen.version,
        "kernel_family": family,
        "kernel": seen.release,
        "arch": seen.machine,
    }


def _taint(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.taint is None:
        return None
    told = {"before": outcome.taint.before, "after": outcome.taint.after, "flags": taint.flags(outcome.taint)}
    return {**told, **({"splat": outcome.splat} if outcome.splat else {})}


def _functional(target: Target, redact: bool) -> dict[str, Any]:
    """Return the command as the row's first test, with those that it tells of; or the tests that a manifest names."""
    validation = target.job.check.validation
    if validation is None:
        results = [_result(one) for one in target.record.outcome.results]
        return {"status": _ended(target.record), "tests": [_test(target, redact), *results]}
    tests = artifact.tests(target.record.outcome, validation)
    if redact:
        tests = [{**test, "command": _redacted(test["command"])} for test in tests]
    ways = {test["status"] for test in tests if test["required"]}
    return {"status": "fail" if "fail" in ways else "pass" if "pass" in ways else "skipped", "tests": tests}


def _ended(record: Record) -> str:
    return "skipped" if record.outcome.kind is OutcomeKind.NO_VERDICT else record.verdict.status.value


def _redacted(command: str) -> str:
    return f"sha256:{digest.of_bytes(command.encode(errors='surrogateescape'))}"


def _test(target: Target, redact: bool) -> dict[str, Any]:
    record, check = target.record, target.job.check
    outcome, verdict = record.outcome, record.verdict
    command = _redacted(check.command) if redact else check.command
    return {
        "name": check.name,
        "required": True,
        "status": _ended(record),
        "command": command,
        "expected_exit_code": check.expect.exit,
        "exit_code": verdict.exit_code,
        **({"signal": verdict.signal, "core_dumped": verdict.core_dumped} if verdict.signal else {}),
        **_stream("stdout", outcome.stdout),
        **_stream("stderr", outcome.stderr),
        "duration_ms": round((outcome.command_seconds or 0.0) * 1000),
        **({"limit_ms": round(outcome.limit_seconds * 1000)} if outcome.limit_seconds else {}),
        "timed_out": verdict.timed_out,
        **({"ready": _readiness(check.ready, outcome.readiness)} if check.ready and outcome.readiness else {}),
    }


def _result(result: TestResult) -> dict[str, Any]:
    """Return a test that the command tells of, in the form of every test; it has no command, code or streams of its own."""
    nothing = {
        "stdout_tail": "",
        "stdout_bytes": 0,
        "stderr_bytes": 0,
        "stdout_truncated": False,
        "stderr_truncated": False,
    }
    return {
        "name": result.name, "required": False, "status": result.status, "command": "", "expected_exit_code": 0, "exit_code": None,
        **nothing, "stderr_tail": result.message, "duration_ms": round((result.seconds or 0.0) * 1000), "timed_out": False,
        "told_by": "command",
    }  # fmt: skip


def _readiness(ready: Ready, told: Readiness) -> dict[str, Any]:
    """Return what became of the steps of a command that does not end by itself."""
    return {
        "sign": readiness.described(ready),
        "seen_after_ms": None if told.seen is None else round(told.seen * 1000),
        "while_ready_exit_code": None if told.meanwhile is None else processes.exit_code(told.meanwhile),
        "signal": f"SIG{ready.signal}",
        "signalled": told.signalled,
    }


def _stream(name: str, stream: Stream) -> dict[str, Any]:
    return {f"{name}_tail": stream.tail, f"{name}_bytes": stream.total, f"{name}_truncated": stream.truncated}


def _evidence(record: Record, workdir: Path) -> dict[str, Any]:
    if record.evidence is None:
        return {}
    folder = workdir / record.evidence
    logs: dict[str, Any] = {f"{name}_log": str(folder / f"{name}.log") for name in ("console", "stdout", "stderr")}
    files = [{**asdict(one), "file": str(folder / COLLECTED / one.path)} for one in record.outcome.collected]
    return {**logs, **({"collected": files} if files else {})}

"""What the validator found -> what it means. By phase, errno and the kernel's own BTF; text decides only where these do not tell.

The findings are the JSON document of guest/validator/, which judges nothing, and under `host` what the kernel's files told
this machine about them (asked_of_host). Findings of earlier versions have less in them.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

from bpfcompat.outcome import Classification, Status, Verdict
from bpfcompat.validation import FunctionalTest, Validation
from bpfcompat.verdict import attach_findings, resources, targets
from bpfcompat.verdict.attach_findings import exit_code, test_failure
from bpfcompat.verdict.causes import Cause, Findings, name

__all__ = [
    "Cause", "Findings", "asked_of_host", "attach_status", "crash", "exit_code", "hints", "load_status", "notes", "readable",
    "tests", "verdict",
]  # fmt: skip

_NAMES_AT_MOST = 12
_UNRESOLVED = re.compile(r"kfunc '([^'\n]+)' is referenced")


def verdict(found: Findings, validation: Validation) -> Verdict:
    """Return what the findings mean for the object as a whole; raises KeyError, TypeError for what the validator never says."""
    cause = _cause(found, validation)
    if cause is None:
        return Verdict(Status.PASS)
    status = Status.INFRA_ERROR if cause.stage == "infra" else Status.FAIL
    return Verdict(
        status, cause.classification, cause.reason, cause.stage, confidence=cause.confidence, timed_out=cause.timed_out
    )


def _cause(found: Findings, validation: Validation) -> Cause | None:
    from bpfcompat.verdict import load_findings  # its patterns take 5 ms to compile, and only objects need them

    if found["load_errno"]:
        return load_findings.cause(found)
    if cause := load_findings.variants_cause(found, validation):
        return cause
    if validation.mode == "load_only":
        return None
    optional = validation.may_stay_unattached
    for program in found["programs"]:
        if program["attach"] == "failed" and program["name"] not in optional:
            return attach_findings.cause(program, found)
    for test, ended in zip(validation.tests, found.get("tests", ()), strict=False):
        if test.required and (why := test_failure(test, ended)):
            reason = f"Functional test '{test.name}' {why}, while the programs were attached."
            return Cause(Classification.FUNCTIONAL_TEST_FAILURE, "high", reason, "functional", bool(ended["timed_out"]))
    return None


def asked_of_host(found: Findings) -> list[str] | None:
    """Return the functions that the kernel's modules are to be asked for; None where nothing failed, so nothing is asked."""
    failed = [one for one in found["programs"] if "failed" in (one["load"], one["attach"])]
    if not found["load_errno"] and not failed:
        return None
    wanted = [*found.get("missing_functions", ()), *found.get("missing_weak_functions", ())]
    wanted += [name for one in failed for name in _UNRESOLVED.findall(one.get("log", ""))]
    functions = [one["function"] for one in failed if "function" in one]
    wanted += [one["name"] for one in functions if one["module"] or not one["symbols"]]
    return sorted(set(wanted))


def hints(found: Findings) -> Iterator[str]:
    """Yield the lines to change for what is not the kernel's."""
    if found["load_errno"] and (line := resources.advice(found)):
        yield line
    places = found.get("host", {}).get("modules", {})
    by_btf = {one["function"]["name"] for one in found["programs"] if "function" in one and targets.by_btf(one)}
    by_btf |= {*found.get("missing_functions", ()), *found.get("missing_weak_functions", ())}
    tried = [one for one in found["programs"] if "function" in one]
    useless = {
        one["function"]["name"] for one in tried if one["function"]["symbols"] or one["attach_type_known"] is False
    }
    helpful = {name for name, place in places.items() if place["btf"] or name not in by_btf} - useless
    modules = sorted({places[name]["module"] for name in helpful})
    if modules:
        yield (
            f"To have {'it' if len(modules) == 1 else 'them'} loaded before the object: `guest: {{modules: [{', '.join(modules)}]}}`"
            " in the project, the check, the profile or the manifest."
        )


# ---- what reports show ----


def load_status(found: Findings) -> str:
    """Return pass or fail: whether the object loaded whole."""
    return "fail" if found["load_errno"] else "pass"


def attach_status(found: Findings, validation: Validation) -> str:
    """Return pass, fail, or skipped where nothing was attached."""
    if found["load_errno"] or validation.mode == "load_only":
        return "skipped"
    optional = validation.may_stay_unattached
    ways = {program["attach"] for program in found["programs"] if program["name"] not in optional}
    return "fail" if "failed" in ways else "pass" if "attached" in ways else "skipped"


def tests(found: Findings, validation: Validation) -> Iterator[tuple[FunctionalTest, Findings, bool]]:
    """Yield the tests that ran, how each ended, and whether it passed."""
    for test, ended in zip(validation.tests, found.get("tests", ()), strict=False):
        yield test, ended, not test_failure(test, ended)


def notes(found: Findings, validation: Validation) -> Iterator[str]:
    """Yield what a reader should know beside the verdict."""
    if found.get("charged_kib", 0) > found.get("usual_memlock_kib", 0):
        yield (
            f"what it loads is charged to RLIMIT_MEMLOCK on this kernel, {found['charged_kib']:,} KiB, and a distribution gives"
            f" {found['usual_memlock_kib']:,}: its loader has to raise that, as libbpf does by itself since 1.0"
        )
    for one in found["maps"]:
        asked, given = one["declared_max_entries"], one["max_entries"]
        if given != asked:
            yield f"map '{one['name']}' declares {asked} entries, and was given {given}, as a loader would do it"
    if alone := [
        program["name"] for program in found["programs"] if found["load_errno"] and program["load"] == "loaded"
    ]:
        names = ", ".join(alone) if len(alone) <= _NAMES_AT_MOST else f"{len(alone)} of {len(found['programs'])}"
        yield f"these programs load when they are alone: {names}"
    optional = validation.may_stay_unattached
    for program in found["programs"]:
        if said := _program_note(program, found["kernel"]["lsm"], program["name"] in optional):
            yield f"program '{program['name']}' {said}"


def _program_note(program: Findings, lsm: str, optional: bool) -> str:
    if program["variant_lost"]:
        return "was left out for another of its group"
    if program["load"] == "failed" and not program["wanted"]:
        return f"is not loaded by itself, and could not be ({name(program['load_errno'])})"
    if program["attach"] == "failed" and optional:
        return f"could not be attached ({name(program['attach_errno'])}), which the manifest allows"
    if program["attach_skipped"]:
        return f"was not attached: {program['attach_skipped']}"
    if program["type"] == "lsm" and program["attach"] == "attached" and "bpf" not in lsm.split(","):
        return f"is attached, but never called: bpf is not among the active LSMs ({lsm})"
    return ""


def readable(data: bytes) -> Findings:
    """Return the validator's document; raises ValueError for what is not one."""
    try:
        found = json.loads(data.decode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(found, dict) or not {"open_errno", "crashed"} & set(found):
        raise ValueError("it is not what the validator prints")
    return found


def crash(found: Findings) -> str:
    """Return how libbpf ended over the object, as the end of a sentence; empty if it did not."""
    if "crashed" not in found:
        return ""
    number = int(found["crashed"])
    known = {one.value for one in signal.Signals}
    return f"makes libbpf {found['libbpf']} crash ({signal.Signals(number).name if number in known else number})"

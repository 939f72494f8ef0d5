"""What the validator found -> what it means. By phase, errno and the kernel's own BTF; text decides only where these do not tell.

The findings are the JSON document of guest/validator/, which judges nothing.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bpfcompat.model import Classification, Status, Verdict
from bpfcompat.validation import FunctionalTest, Validation
from bpfcompat.verdict import bpf

Findings = dict[str, Any]
_NEEDS_BTF = {"tracing", "lsm", "ext", "struct_ops"}
"""Types of programs that are attached by the kernel's BTF."""
_REFUSED = {errno.EINVAL, errno.EOPNOTSUPP, 524, errno.ENOSYS}
"""524 is the kernel's own ENOTSUPP, which reaches programs by mistake."""
_NAMES_AT_MOST = 12
_NAMES = {524: "ENOTSUPP", errno.EOPNOTSUPP: "EOPNOTSUPP"}  # whose other name in Python is ENOTSUP
_POISONED = re.compile(rf"invalid CO-RE relocation|unknown#{bpf.POISONED_CALL}")
_RELOCATION = re.compile(r"\brelo #\d+|CO-RE relo")
"""What libbpf says of a relocation that failed before the kernel was asked."""
_UNRESOLVED = re.compile(r"failed to resolve CO-RE relocation <\w+> \[\d+\] ([^(\n]+?) \(")
_EXPLAINED = re.compile(r"^Verification failed: ", re.MULTILINE)
"""What Linux 7.3 adds behind the verifier's own last word: a page on where and why."""
_VERIFIER_NOISE = re.compile(r"^(?:processed \d+ insns|verification time|stack depth|\s*$)")


@dataclass(frozen=True)
class Cause:
    """Why an object failed."""

    classification: Classification
    confidence: str
    reason: str
    stage: str
    """load, attach, or functional."""
    timed_out: bool = False


def verdict(found: Findings, validation: Validation) -> Verdict:
    """Return what the findings mean for the object as a whole; raises KeyError, TypeError for what the validator never says."""
    cause = _cause(found, validation)
    if cause is None:
        return Verdict(Status.PASS)
    return Verdict(
        Status.FAIL,
        cause.classification,
        cause.reason,
        cause.stage,
        confidence=cause.confidence,
        timed_out=cause.timed_out,
    )


def _cause(found: Findings, validation: Validation) -> Cause | None:
    if found["load_errno"]:
        return _load_cause(found)
    if cause := _variants_cause(found, validation):
        return cause
    if validation.mode == "load_only":
        return None
    optional = validation.may_stay_unattached
    for program in found["programs"]:
        if program["attach"] == "failed" and program["name"] not in optional:
            return _attach_cause(program, found["kernel"])
    for test, ended in zip(validation.tests, found.get("tests", ()), strict=False):
        if test.required and (why := _test_failure(test, ended)):
            reason = f"Functional test '{test.name}' {why}, while the programs were attached."
            return Cause(Classification.FUNCTIONAL_TEST_FAILURE, "high", reason, "functional", bool(ended["timed_out"]))
    return None


# ---- loading ----


def _load_cause(found: Findings) -> Cause:
    if found["load_errno"] == errno.ENOSYS:
        reason = "This kernel was built without BPF (CONFIG_BPF_SYSCALL)."
        return Cause(Classification.UNSUPPORTED_PROGRAM_TYPE, "high", reason, "load")
    for one in found["maps"]:
        if one["create"] == "failed" or one["fixup_errno"]:
            return _map_cause(one, found["kernel"])
    failed = [program for program in found["programs"] if program["load"] == "failed" and program["wanted"]]
    told = any(program["log_bytes"] for program in failed)
    if not found["kernel"]["btf"] and not told:
        reason = "This kernel has no BTF of its own (CONFIG_DEBUG_INFO_BTF), which the object needs to be loaded."
        return Cause(Classification.MISSING_BTF, "high" if _needs_btf(failed) else "medium", reason, "load")
    missing = found["missing_functions"]
    if missing and not told:
        reason = f"The object calls {', '.join(missing)}, which this kernel does not offer to BPF programs (kfunc)."
        return Cause(Classification.CORE_RELOCATION_FAILURE, "medium", reason, "load")
    if failed:
        return _program_cause(failed[0], found["kernel"], len(failed))
    reason = f"The object does not load ({_name(found['load_errno'])}), though each of its programs does alone."
    return Cause(Classification.UNKNOWN, "low", reason, "load")


def _variants_cause(found: Findings, validation: Validation) -> Cause | None:
    """Return why nothing of a group of variants can be used, if there is such a group."""
    by_name = {program["name"]: program for program in found["programs"]}
    groups: dict[str, list[Findings]] = {}
    for variant in validation.variants:
        groups.setdefault(variant.group, []).append(by_name[variant.program])
    for name, programs in groups.items():
        if not all(program["variant_lost"] for program in programs):
            continue
        tried = next((program for program in reversed(programs) if program["load"] == "failed"), None)
        what = f"None of the variants of '{name}' can be used on this kernel"
        if tried:
            return _because(f"{what}. '{tried['name']}'", "load", _program_whys(tried, found["kernel"]))
        return Cause(
            Classification.VERIFIER_REJECTION, "medium", f"{what}: it has not the helpers that they need.", "load"
        )
    return None


def _needs_btf(programs: list[Findings]) -> bool:
    return any(program["type"] in _NEEDS_BTF for program in programs)


Why = tuple[Classification, str, str]
"""A class, how sure it is, and the end of a sentence."""


def _because(what: str, stage: str, whys: Iterator[Why], more: str = "") -> Cause:
    """Return the first of several reasons, which stand in the order of their certainty."""
    classification, confidence, why = next(whys)
    return Cause(classification, confidence, f"{what}: {why}.{more}", stage)


def _map_cause(one: Findings, kernel: Findings) -> Cause:
    return _because(f"Map '{one['name']}' cannot be made on this kernel", "load", _map_whys(one, kernel))


def _map_whys(one: Findings, kernel: Findings) -> Iterator[Why]:
    number, kind = one["create_errno"] or one["fixup_errno"], bpf.named(bpf.MAP_TYPES, one["type_id"], "type")
    yield from _denied(number, kernel)
    if one.get("type_known") is False:
        yield Classification.UNSUPPORTED_MAP_TYPE, "high", f"it does not have the type {kind}"
    if number in _REFUSED:
        why = f"it knows the type {kind}, but refuses its flags or sizes ({_name(number)})"
        yield Classification.UNSUPPORTED_MAP_TYPE, "medium", why
    yield Classification.UNKNOWN, "low", _name(number)


def _program_cause(program: Findings, kernel: Findings, failed: int) -> Cause:
    more = f" {failed - 1} more fail, too." if failed > 1 else ""
    what = f"Program '{program['name']}' cannot be loaded on this kernel"
    return _because(what, "load", _program_whys(program, kernel), more)


def _program_whys(program: Findings, kernel: Findings) -> Iterator[Why]:
    number = program["load_errno"]
    if program["type_known"] is False:
        kind = bpf.named(bpf.PROGRAM_TYPES, program["type_id"], "type")
        yield Classification.UNSUPPORTED_PROGRAM_TYPE, "high", f"it has no programs of the type {kind}"
    if program["core_poisoned"] and _POISONED.search(program["log"]):
        yield Classification.CORE_RELOCATION_FAILURE, "high", _relocation(program)
    if program["log_bytes"]:
        yield Classification.VERIFIER_REJECTION, "high", _verifier(program)
    yield from _denied(number, kernel)
    if program["target_found"] is False and number in {errno.ESRCH, errno.ENOENT, errno.EINVAL}:
        yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", f"there is no {program['target']} to attach it to"
    if program["attach_type_known"] is False:
        kind = bpf.named(bpf.ATTACH_TYPES, program["attach_type_id"], "attach type")
        yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", f"it cannot attach that way: {kind}"
    if program["core_poisoned"] or _RELOCATION.search(program["said"]):
        yield Classification.CORE_RELOCATION_FAILURE, "medium", _relocation(program)
    if number in _REFUSED:
        why = f"it refuses programs of the type {program['type']} before it verifies them ({_name(number)})"
        yield Classification.UNSUPPORTED_PROGRAM_TYPE, "medium", why
    yield Classification.UNKNOWN, "low", _name(number)


def _relocation(program: Findings) -> str:
    missing = _UNRESOLVED.search(program["log"])
    return f"it reads {missing[1] if missing else 'a type or field'}, which is not there (CO-RE)"


def _verifier(program: Findings) -> str:
    helpers = [bpf.named(bpf.HELPERS, number, "helper") for number in program["missing_helpers"]]
    if helpers:
        return f"it calls {', '.join(helpers)}, which this kernel does not have"
    lines = [
        line.strip() for line in _EXPLAINED.split(program["log"])[0].splitlines() if not _VERIFIER_NOISE.match(line)
    ]
    rejected = f"the verifier rejects it ({_name(program['load_errno'])})"
    return f"{rejected}: {lines[-1].rstrip('.')}" if lines else rejected


def _denied(number: int, kernel: Findings) -> Iterator[Why]:
    """Yield the reason for what is not allowed, as opposed to not possible; a verifier's EACCES does not come here.

    A kernel that is locked down from its start has an empty tracefs (5.4 to 7.3): what stands in it is not there then.
    """
    if number not in ({errno.EPERM, errno.EACCES} if kernel["tracefs"] else {errno.EPERM, errno.EACCES, errno.ENOENT}):
        return
    locked = re.search(r"\[(?!none\b)(\w+)\]", kernel["lockdown"])
    if locked:
        yield Classification.POLICY_DENIED, "high", f"it is locked down ({locked[1]}), see kernel_lockdown(7)"
    elif number == errno.EACCES:
        why = f"a security policy forbids it (EACCES; active: {kernel['lsm']})"
        yield Classification.POLICY_DENIED, "medium", why
    elif number == errno.EPERM:
        yield Classification.CAPABILITY_FAILURE, "medium", "it is not permitted, not even to root (EPERM)"


# ---- attaching, and what runs while it is attached ----


def _attach_cause(program: Findings, kernel: Findings) -> Cause:
    what = f"Program '{program['name']}' ({program['section']}) loads, but cannot be attached on this kernel"
    return _because(what, "attach", _attach_whys(program, kernel))


def _attach_whys(program: Findings, kernel: Findings) -> Iterator[Why]:
    number = program["attach_errno"]
    yield from _denied(number, kernel)
    if program["attach_type_known"] is False:
        kind = bpf.named(bpf.ATTACH_TYPES, program["attach_type_id"], "attach type")
        yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", f"it does not know {kind}"
    if program["target_found"] is False or number == errno.ENOENT:
        why = f"there is no {program['target'] or 'such thing to attach to'}"
        yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", why
    if number in _REFUSED:
        why = f"it was built without that way to attach, or refuses it ({_name(number)})"
        yield Classification.UNSUPPORTED_ATTACH_TYPE, "medium" if number == errno.EINVAL else "high", why
    yield Classification.UNKNOWN, "low", _name(number)


def _test_failure(test: FunctionalTest, ended: Findings) -> str:
    """Return how a test failed, as the end of a sentence; empty if it did not."""
    if ended["timed_out"]:
        return f"was still running after {test.timeout:g} s"
    code = exit_code(ended)
    if code != test.exit:
        return f"exited {code} (expected {test.exit})"
    for stream, wanted in (("stdout", test.stdout_contains), ("stderr", test.stderr_contains)):
        if wanted and wanted not in ended[stream]:
            return f"did not print {wanted!r} to {stream}"
    return ""


def exit_code(ended: Findings) -> int:
    """Return how a functional test ended as a shell would show it: 128 + N for signal N."""
    status: int = ended["wait_status"]
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _name(number: int) -> str:
    return _NAMES.get(number) or errno.errorcode.get(number, f"errno {number}")


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
        yield test, ended, not _test_failure(test, ended)


def notes(found: Findings, validation: Validation) -> Iterator[str]:
    """Yield what a reader should know beside the verdict."""
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
        return f"is not loaded by itself, and could not be ({_name(program['load_errno'])})"
    if program["attach"] == "failed" and optional:
        return f"could not be attached ({_name(program['attach_errno'])}), which the manifest allows"
    if program["attach_skipped"]:
        return f"was not attached: {program['attach_skipped']}"
    if program["type"] == "lsm" and program["attach"] == "attached" and "bpf" not in lsm.split(","):
        return f"is attached, but never called: bpf is not among the active LSMs ({lsm})"
    return ""


def readable(data: bytes) -> Findings:
    """Return the validator's document; raises ValueError for what is not one."""
    import json

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

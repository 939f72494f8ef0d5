"""Why a program was not loaded: what the kernel lacks, what its policy or its configuration forbids, or what libbpf did not do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpfcompat.outcome import Classification
from bpfcompat.verdict import bpf, targets, verifier
from bpfcompat.verdict.causes import (
    REFUSED,
    RESOURCES,
    Cause,
    Findings,
    Why,
    because,
    denied,
    in_module,
    locked_down,
    name,
    not_built,
    option,
)

_RELOCATION = re.compile(r"\brelo #\d+|CO-RE relo")
"""What libbpf says of a relocation that failed before the kernel was asked."""
_UNRESOLVED = re.compile(r"failed to resolve CO-RE relocation <\w+> \[\d+\] ([^(\n]+?) \(")
_HELPER_OPTIONS = {58: ("bpf_override_return", "CONFIG_BPF_KPROBE_OVERRIDE")}
_TYPE_OPTIONS = {
    "lsm": "CONFIG_BPF_LSM",
    "lirc_mode2": "CONFIG_BPF_LIRC_MODE2",
    "netfilter": "CONFIG_NETFILTER_BPF_LINK",
}
_FLAGS = {1 << 5: ("BPF_F_XDP_HAS_FRAGS (xdp.frags)", "5.18"), 1 << 4: ("BPF_F_SLEEPABLE", "5.10"),
          1 << 6: ("BPF_F_XDP_DEV_BOUND_ONLY", "6.3")}  # fmt: skip
_NOT_MODIFIABLE = re.compile(r"(\w+)\(\) is not modifiable")
_NOT_SLEEPABLE = re.compile(r"(\w+) is not sleepable")
_NONE_SLEEPABLE = re.compile(r"^Only [^\n]* programs can be sleepable", re.MULTILINE)
"""What kernels since 5.10 say of a kind that has no sleepable programs (check_attach_btf_id in kernel/bpf/verifier.c)."""
_SLEEPABLE = {"kprobe": "6.0"}
"""Types that had none at first, and the Linux release since which they have (64ad7556c75b)."""
_SYSTEM_CALL = re.compile(r"__\w+_sys_")
_NO_ADDRESS = re.compile(r"The address of function (\w+) cannot be found")
_EXT = 28
_LAST_WORDS = re.compile(r"failed to load(?: object)? |BPF program load failed|^-- |^\s*$")


def cause(program: Findings, found: Findings, failed: int) -> Cause:
    """Return why a program was not loaded, as the object's cause."""
    more = f" {failed - 1} more {'fails' if failed == 2 else 'fail'}, too." if failed > 1 else ""
    return because(f"Program '{program['name']}' cannot be loaded on this kernel", "load", whys(program, found), more)


def whys(program: Findings, found: Findings) -> Iterator[Why]:
    """Yield why a program was not loaded, the most certain reason first."""
    number = program["load_errno"]
    if program["type_known"] is False:
        kind = bpf.named(bpf.PROGRAM_TYPES, program["type_id"], "type")
        yield Classification.UNSUPPORTED_PROGRAM_TYPE, "high", f"it has no programs of the type {kind}"
    if program["attach_type_known"] is False:
        kind = bpf.named(bpf.ATTACH_TYPES, program["attach_type_id"], "attach type")
        yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", f"it cannot attach that way: {kind}"
    if program["log_bytes"]:
        yield from _by_log(program, found)
    yield from denied(number, found["kernel"])
    yield from targets.missing(program, found, number)
    if program["core_poisoned"] or _RELOCATION.search(program["said"]):
        yield Classification.CORE_RELOCATION_FAILURE, "medium", _relocation(program)
    if program["type_id"] == _EXT:
        why = "it replaces a function of another program (freplace), and only its own loader can name that program"
        yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", why
    if program.get("asked") is False:
        yield of_libbpf(found, program["said"])
    yield from _by_answer(program, found)
    yield Classification.UNKNOWN, "low", name(number)


def of_libbpf(found: Findings, said: str) -> Why:
    """Return the reason for what libbpf did not prepare, so that the kernel was never asked."""
    lines = [line.removeprefix("libbpf: ") for line in said.splitlines()]
    told = next((line for line in lines if not _LAST_WORDS.search(line)), "")
    libbpf = f"libbpf {found['libbpf'].removeprefix('v')}"
    why = f"{libbpf} failed before it asked the kernel{f' ({told.rstrip(chr(46))})' if told else ''}"
    return Classification.LIBBPF_FAILURE, "high", why


# ---- with a verifier's log ----


def _by_log(program: Findings, found: Findings) -> Iterator[Why]:
    log, refused = program["log"], verifier.refused_helper(program["log"])
    if program["core_poisoned"] and verifier.POISONED.search(log):
        yield Classification.CORE_RELOCATION_FAILURE, "high", _relocation(program)
    if kfunc := verifier.UNRESOLVED_KFUNC.search(log):
        place = in_module(found, kfunc[1])
        why = f"it calls {kfunc[1]} (kfunc), which this kernel does not offer to BPF programs{f': {place}' if place else ''}"
        yield Classification.CORE_RELOCATION_FAILURE, "high", why
    locked = locked_down(found["kernel"])
    if refused is not None and refused in bpf.LOCKED.get(locked, ()):
        why = f"it calls {verifier.called(program, refused)}, which is refused because the kernel is locked down ({locked})"
        yield Classification.POLICY_DENIED, "high", f"{why}, see kernel_lockdown(7)"
    if refused in _HELPER_OPTIONS and program["type"] == "kprobe":
        helper, wanted = _HELPER_OPTIONS[refused]
        if option(found, wanted) != "y":
            lacking = not_built(found, wanted) or f"that needs {wanted}, and this kernel's configuration is not known"
            why = f"it calls {helper}, and {lacking}"
            yield Classification.UNSUPPORTED_PROGRAM_TYPE, "high" if option(found, wanted) else "medium", why
    if _NONE_SLEEPABLE.search(log):
        kind = targets.kind(program) if program["type"] == "tracing" else program["type"]
        since = f" (Linux {_SLEEPABLE[kind]})" if kind in _SLEEPABLE else ""
        yield (
            Classification.UNSUPPORTED_PROGRAM_TYPE,
            "high",
            f"it takes no sleepable programs of the type {kind}{since}",
        )
    yield from _target_by_log(log, found)
    if why := verifier.arguments(program):
        yield Classification.VERIFIER_REJECTION, "high", why
    yield Classification.VERIFIER_REJECTION, "high", verifier.said(program)


def _target_by_log(log: str, found: Findings) -> Iterator[Why]:
    """Yield the reason where the target, and not the program, is what the verifier refuses."""
    for pattern, what in (
        (_NOT_MODIFIABLE, "may not be modified by programs"),
        (_NOT_SLEEPABLE, "may not be attached to by sleepable programs"),
    ):
        if refused := pattern.search(log):
            lacking = not_built(found, "CONFIG_FUNCTION_ERROR_INJECTION")
            more = f": {lacking}, which lists the functions that may" if lacking else ""
            more += (
                " (system calls may without it since Linux 7.1)" if lacking and _SYSTEM_CALL.match(refused[1]) else ""
            )
            yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", f"{refused[1]} {what}{more}"
    if refused := _NO_ADDRESS.search(log):
        yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", targets.without_address(refused[1], found)


def _relocation(program: Findings) -> str:
    missing = _UNRESOLVED.search(program["log"])
    return f"it reads {missing[1] if missing else 'a type or field'}, which is not there (CO-RE)"


# ---- without one: by what else the kernel was asked, and how it answered ----


def _by_answer(program: Findings, found: Findings) -> Iterator[Why]:
    number, kind = program["load_errno"], program["type"]
    flags = program.get("asked_flags", 0)
    if flags and program["errno_without_flags"] == 0:
        known = [f"{text}, Linux {since}" for bit, (text, since) in _FLAGS.items() if flags & bit]
        listed = "; ".join(known) or f"{flags:#x}"
        why = f"it has programs of the type {kind}, but does not know the flag that this one is loaded with: {listed}"
        yield Classification.UNSUPPORTED_PROGRAM_TYPE, "high", why
    if program.get("asked_attach_type") and program["errno_without_type"] == 0:
        way = bpf.named(bpf.ATTACH_TYPES, program["asked_attach_type"], "attach type")
        why = f"it has programs of the type {kind}, but refuses the way in which this one is to be attached: {way}"
        yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", why
    wanted = _TYPE_OPTIONS.get(kind, "")
    if program.get("type_offered") is False:
        lacking = not_built(found, wanted) if wanted else ""
        why = f"it takes no programs of the type {kind}" + (f": {lacking}" if lacking else ", though its BTF lists it")
        yield Classification.UNSUPPORTED_PROGRAM_TYPE, "high", why
    if number in RESOURCES:
        yield Classification.RESOURCE_LIMIT, "medium", f"the kernel had not what it takes to load it ({name(number)})"
    if number in REFUSED:
        asked = (
            "refuses this program"
            if program.get("type_offered") or program.get("asked")
            else f"refuses programs of the type {kind}"
        )
        why = f"it {asked} before it verifies it ({name(number)})"
        yield Classification.UNSUPPORTED_PROGRAM_TYPE, "medium", why

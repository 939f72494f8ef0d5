"""Why an object was not loaded: its maps, what it wants of the kernel by name, its programs."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from bpfcompat.outcome import Classification
from bpfcompat.validation import Validation
from bpfcompat.verdict import bpf, program_findings, resources
from bpfcompat.verdict.causes import (
    REFUSED,
    RESOURCES,
    Cause,
    Findings,
    Why,
    because,
    denied,
    in_module,
    looked_in_modules,
    module_of,
    name,
    not_built,
)

_NEEDS_BTF = {"tracing", "lsm", "ext", "struct_ops"}
"""Types of programs that are attached by the kernel's BTF."""
_OTHER_PROTOTYPE = re.compile(r"extern \(func ksym\) '([^'\n]+)': func_proto \[\d+\] incompatible with (\S+) \[")
_OTHER_TYPE = re.compile(r"extern \(var ksym\) '([^'\n]+)': incompatible types")
_NOT_SET = re.compile(r"extern '((?:CONFIG|LINUX)_\w+)' \(strong\): not resolved")
_NO_STRUCT_OPS = re.compile(r"struct_ops init_kern: struct (?:bpf_struct_ops_)?(\w+) is not found in kernel BTF")
_NO_MEMBER = re.compile(r"struct_ops init_kern (\w+): Cannot find member (\w+) in kernel BTF")
"""What libbpf 1.7 says (libbpf.c): it ends with EINVAL or ENOTSUP for all of these."""


def cause(found: Findings) -> Cause:
    """Return why an object did not load."""
    return next(_causes(found))


def _causes(found: Findings) -> Iterator[Cause]:
    """Yield why an object did not load, what comes first first: a kernel without BPF, maps, names, programs."""
    if found["load_errno"] == errno.ENOSYS:
        reason = "This kernel was built without BPF (CONFIG_BPF_SYSCALL)."
        yield Cause(Classification.UNSUPPORTED_PROGRAM_TYPE, "high", reason, "load")
    for one in () if _prepared(found) else found["maps"]:
        if one["create"] == "failed" or one.get("load_create_errno") or one["fixup_errno"]:
            yield _map_cause(one, found)
    failed = [program for program in found["programs"] if program["load"] == "failed" and program["wanted"]]
    for program in failed:
        if program["type_known"] is False:
            yield program_findings.cause(program, found, len(failed))
    if not any(program["log_bytes"] for program in failed):
        if not found["kernel"]["btf"]:
            reason = "This kernel has no BTF of its own (CONFIG_DEBUG_INFO_BTF), which the object needs to be loaded."
            yield Cause(Classification.MISSING_BTF, "high" if _needs_btf(failed) else "medium", reason, "load")
        yield from _wants(found)
    if failed:
        yield program_findings.cause(failed[0], found, len(failed))
    if found.get("prepare_errno"):
        yield because("The object does not load", "load", iter([program_findings.of_libbpf(found, found["said"])]))
    reason = f"The object does not load ({name(found['load_errno'])}), though each of its programs does alone."
    yield Cause(Classification.UNKNOWN, "low", reason, "load")


def _prepared(found: Findings) -> bool:
    """Tell whether libbpf is known to have made all maps, and to have failed at a program."""
    return bool(found.get("prepared_apart")) and not found["prepare_errno"]


def _needs_btf(programs: list[Findings]) -> bool:
    return any(program["type"] in _NEEDS_BTF for program in programs)


# ---- what the object wants by name, which libbpf looks for before it asks the kernel ----


def _wants(found: Findings) -> Iterator[Cause]:
    said, libbpf = found.get("said", ""), f"libbpf {found['libbpf'].removeprefix('v')}"
    kconfig = any(one["name"].endswith(".kconfig") for one in found["maps"])
    if kconfig and found.get("prepare_errno") and found["kernel"].get("config") is False:
        reason = (
            "The object reads the kernel's configuration (extern ... __kconfig), which did not come with this kernel, so"
            f" {libbpf} could not load it, and the kernel was not asked."
        )
        yield Cause(Classification.KERNEL_UNAVAILABLE, "high", reason, "infra")
    if missing := found["missing_functions"]:
        yield _missing_functions(missing, found)
    core = Classification.CORE_RELOCATION_FAILURE
    if missing := found.get("missing_variables"):
        yield Cause(
            core, "high", f"The object reads {', '.join(missing)}, which this kernel does not have (ksym).", "load"
        )
    if other := _OTHER_PROTOTYPE.search(said):
        reason = f"The object calls {other[1]} (kfunc) by another prototype than it has on this kernel, says {libbpf}."
        yield Cause(core, "high", reason, "load")
    if other := _OTHER_TYPE.search(said):
        reason = f"The object reads {other[1]} (ksym) as another type than it is on this kernel, says {libbpf}."
        yield Cause(core, "high", reason, "load")
    if unset := _NOT_SET.search(said):
        reason = (
            f"The object reads {unset[1]} of the kernel's configuration (extern ... __kconfig), which is not set there; declared"
            " __weak, it could do without."
        )
        yield Cause(core, "high", reason, "load")
    if lacking := _NO_STRUCT_OPS.search(said):
        yield _no_struct_ops(lacking[1], found)
    if lacking := _NO_MEMBER.search(said):
        reason = f"The object sets {lacking[2]} of its struct_ops map '{lacking[1]}', which that type does not have on this kernel."
        yield Cause(core, "high", reason, "load")


def _missing_functions(missing: list[str], found: Findings) -> Cause:
    """Return the cause for functions (kfuncs) that are not there, or are in a module that is not loaded."""
    core, listed = Classification.CORE_RELOCATION_FAILURE, ", ".join(missing)
    places = {one: module_of(found, one) for one in missing}
    modules = list(dict.fromkeys(place["module"] for place in places.values() if place))
    if modules and all(places.values()):
        which = (
            f"the module {modules[0]}, which is"
            if len(modules) == 1
            else f"the modules {', '.join(modules)}, which are"
        )
        btf = "" if all(place["btf"] for place in places.values()) else (
            "; nor would that help, because modules have BTF since Linux 5.11"
        )  # fmt: skip
        return Cause(core, "high", f"The object calls {listed} (kfunc), of {which} not loaded{btf}.", "load")
    more = ": neither it nor a module that came with it has that" if looked_in_modules(found) and not modules else ""
    more = more or "".join(f"; {in_module(found, one)}" for one in missing if places[one])
    reason = f"The object calls {listed}, which this kernel does not offer to BPF programs (kfunc){more}."
    return Cause(core, "high" if looked_in_modules(found) else "medium", reason, "load")


def _no_struct_ops(kind: str, found: Findings) -> Cause:
    since, option = bpf.STRUCT_OPS.get(kind, ("", ""))
    lacking = not_built(found, option) if option else ""
    why = (
        lacking
        if lacking and not _older(found, since)
        else f"that is Linux {since}{f' with {option}' if option else ''}"
        if since
        else ""
    )
    reason = f"This kernel has no {kind} that a BPF program could implement (struct_ops){f': {why}' if why else ''}."
    return Cause(Classification.UNSUPPORTED_ATTACH_TYPE, "high", reason, "load")


def _older(found: Findings, since: str) -> bool:
    """Tell whether a kernel is known to be older than a release."""
    own, wanted = (
        [int(part) for part in re.findall(r"\d+", text)[:2]]
        for text in (found.get("host", {}).get("release", ""), since)
    )
    return bool(own) and bool(wanted) and own < wanted


# ---- maps ----


def _map_cause(one: Findings, found: Findings) -> Cause:
    number = one.get("load_create_errno") or one["create_errno"] or one["fixup_errno"]
    where = "in this guest" if number == errno.ENOMEM else "on this kernel"
    return because(f"Map '{one['name']}' cannot be made {where}", "load", _map_whys(one, number, found))


def _map_whys(one: Findings, number: int, found: Findings) -> Iterator[Why]:
    kind = bpf.named(bpf.MAP_TYPES, one["type_id"], "type")
    yield from denied(number, found["kernel"])
    if one.get("type_known") is False:
        yield Classification.UNSUPPORTED_MAP_TYPE, "high", f"it does not have the type {kind}"
    if one.get("inner_known") is False:
        why = "the object does not say what the maps in it are, which its own loader has to; `maps: [{name, inner}]` in a manifest does"
        yield Classification.UNSUPPORTED_MAP_TYPE, "high", why
    if number in RESOURCES:
        yield Classification.RESOURCE_LIMIT, "high", resources.of_map(one, number, found)
    if number in REFUSED:
        flags = bpf.flags(one.get("flags", 0))
        asked = f"its flags ({flags}) or its sizes" if flags else "its sizes"
        why = f"it knows the type {kind}, but refuses {asked} ({resources.entries(one)}, {name(number)})"
        yield Classification.UNSUPPORTED_MAP_TYPE, "medium", why
    yield Classification.UNKNOWN, "low", name(number)


# ---- groups of variants ----


def variants_cause(found: Findings, validation: Validation) -> Cause | None:
    """Return why nothing of a group of variants can be used, if there is such a group."""
    by_name = {program["name"]: program for program in found["programs"]}
    groups: dict[str, list[Findings]] = {}
    for variant in validation.variants:
        groups.setdefault(variant.group, []).append(by_name[variant.program])
    for group, programs in groups.items():
        if not all(program["variant_lost"] for program in programs):
            continue
        tried = next((program for program in reversed(programs) if program["load"] == "failed"), None)
        what = f"None of the variants of '{group}' can be used on this kernel"
        if tried:
            return because(f"{what}. '{tried['name']}'", "load", program_findings.whys(tried, found))
        return Cause(
            Classification.VERIFIER_REJECTION, "medium", f"{what}: it has not the helpers that they need.", "load"
        )
    return None

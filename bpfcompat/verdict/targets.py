"""What a program is to be attached to: not there, elsewhere, under another name, or not to be probed."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from bpfcompat import architecture
from bpfcompat.outcome import Classification
from bpfcompat.verdict.causes import Findings, Why, guest, in_module, looked_in_modules, module_of, not_built

_TRAMPOLINED = {"fentry", "fexit", "fmod_ret", "fsession"}
_ON_STACK_TOO = {"amd64": 12}
"""Arguments that a trampoline carries since it takes those on the stack, too: Linux 6.6 (473e3150e30a)."""

_NOUNS = {
    "iter": "iterator ",
    "lsm": "LSM hook ",
    "lsm_cgroup": "LSM hook ",
    "tp_btf": "tracepoint ",
    "raw_tp": "tracepoint ",
}
"""What sections name that name no function; a tracepoint's own section has a folder in its name, which says it."""
_DIRECT_CALLS = "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"
_NOT_PROBED = {errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP, errno.EBUSY, errno.ENODEV, 524}


def kind(program: Findings) -> str:
    """Return the kind of a program's section: fentry, kprobe, ..."""
    return str(program["section"].removeprefix("?").partition("/")[0].partition(".")[0])


def by_btf(program: Findings) -> bool:
    """Tell whether a program is attached by the BTF of its target."""
    return kind(program) in _TRAMPOLINED


def missing(program: Findings, found: Findings, number: int) -> Iterator[Why]:
    """Yield the reason for a target that is not there, as far as BTF and the kernel's symbols tell."""
    if program["target_found"] is not False or number not in {errno.ESRCH, errno.ENOENT, errno.EINVAL}:
        return
    function = program.get("function", {})
    wanted = function.get("name") or program["target"]
    yield Classification.UNSUPPORTED_ATTACH_TYPE, "high", absent(wanted, function, found, kind(program))


def absent(wanted: str, function: Findings, found: Findings, how: str) -> str:
    """Return the end of a sentence on a target that is not where it is looked for.

    function: what the kernel's symbols say of it; empty where it is no function, or they were not read.
    how: the kind of the section.
    """
    needs_btf = how in _TRAMPOLINED
    module = module_of(found, wanted)
    if function.get("module"):
        why = (
            "which has no BTF: modules have that since Linux 5.11"
            if module and not module["btf"]
            else "whose BTF does not list it"
        )
        return f"{wanted} is in the module {function['module']}, {why}"
    if place := in_module(found, wanted):
        no_btf = needs_btf and not module["btf"]
        return f"{place}; nor would that help, because modules have BTF since Linux 5.11" if no_btf else place
    if function.get("variants"):
        return f"{wanted} is there only as {', '.join(function['variants'])}: the compiler made that of it"
    if needs_btf and function.get("symbols"):
        return f"{wanted} is there, but the kernel's BTF does not list it, which {how} needs"
    if own := architecture.renamed(wanted, guest(found)):
        either = ", and a ksyscall section finds either" if how.startswith(("kprobe", "kretprobe")) else ""
        return f"there is no {wanted}: on {guest(found).name} that system call is {own}{either}"
    plain = f"there is no {_NOUNS.get(how, '')}{wanted or 'such thing'} to attach it to"
    looked = function and looked_in_modules(found) and not function.get("symbols")
    return f"{plain}, neither in it nor in a module that came with it" if looked else plain


def without_address(wanted: str, found: Findings) -> str:
    """Return the end of a sentence on a function that BTF lists and that has no address."""
    told = (one.get("function", {}) for one in found["programs"])
    variants: list[str] = next((one["variants"] for one in told if one.get("name") == wanted), [])
    if variants:
        return f"its BTF lists {wanted}, but there is only {', '.join(variants)}: the compiler made that of it"
    return f"its BTF lists {wanted}, but there is no code of that name: the compiler has inlined it"


def without_trampolines(found: Findings) -> str:
    """Return a sentence's end on a kernel that cannot hang trampolines on its functions; empty if it can, or that is not known."""
    lacking = not_built(found, _DIRECT_CALLS)
    return (
        f"{lacking}, which fentry, fexit, fmod_ret and LSM programs need; arm64 has it since Linux 6.4"
        if lacking
        else ""
    )


def refused(program: Findings, found: Findings, number: int) -> Iterator[Why]:
    """Yield why a function that may be there was not attached to."""
    function, how = program.get("function", {}), kind(program)
    if not function:
        return
    wanted, unsupported = function["name"], Classification.UNSUPPORTED_ATTACH_TYPE
    if not function["symbols"]:
        yield unsupported, "high", absent(wanted, function, found, how)
    if number == errno.EADDRNOTAVAIL and function["symbols"] > 1:
        why = f"there are {function['symbols']} functions called {wanted}, and a kprobe cannot say which"
        yield unsupported, "high", why
    if number == errno.EILSEQ and "+" in program["target"]:
        why = f"no instruction begins at {program['target']} on this kernel (EILSEQ): another compiler made it"
        yield unsupported, "high", why
    if number == 524 and how in _TRAMPOLINED and (lacking := without_trampolines(found)):
        yield unsupported, "high", lacking
    takes, carried = program.get("arguments"), guest(found).registers
    if number == 524 and how in _TRAMPOLINED and takes is not None and len(takes) > carried:
        now = _ON_STACK_TOO.get(guest(found).name, 0)
        more = f": {now} since Linux 6.6" if len(takes) <= now else ""
        why = f"{wanted} takes {len(takes)} arguments, and {how} can carry {carried} on this kernel{more} (ENOTSUPP)"
        yield unsupported, "high", why
    if function["blacklisted"]:
        yield unsupported, "high", f"{wanted} is there, but must not be probed (it is on the list of such functions)"
    if function["traceable"] is False and number in _NOT_PROBED:
        yield unsupported, "high", f"{wanted} is there, but must not be probed (notrace)"

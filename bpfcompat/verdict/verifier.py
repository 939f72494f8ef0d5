"""What a verifier's log says was wrong. It is read for words; the class comes from it only where errno and BTF do not tell."""

from __future__ import annotations

import re

from bpfcompat.verdict import bpf
from bpfcompat.verdict.causes import Findings, name

POISONED = re.compile(rf"invalid CO-RE relocation|unknown#{bpf.POISONED_CALL}")
UNRESOLVED_KFUNC = re.compile(r"kfunc '([^'\n]+)' is referenced but wasn't resolved")
"""What libbpf writes into the log where it put a call that no kernel has: 1.3 and newer."""
_REFUSED_HELPER = re.compile(r"(?:unknown func|program of this type cannot use helper) (?:(\w+)#)?(\d+)")
_EXPLAINED = re.compile(r"^Verification failed: ", re.MULTILINE)
"""What Linux 7.3 adds behind the verifier's own last word: a page on where and why."""
_NOISE = re.compile(
    r"^(?:processed \d+ insns|verification time|stack depth|\s*$|;|\d+: |R\d+(?:_\w+)?=|from \d+ to \d+|fp-\d|"
    r"[Vv]alidating \S+ func#|arg#\d+ reference type|last_idx|regs=|mark_precise|parent |-- |libbpf:|validator:|"
    r"func '[^']*' arg\d+ has btf_id |(?:max_states|total_states)|func#\d+ @\d+|caller:|callee:|returning from callee|to caller)"
)
_DECISIVE = (
    re.compile(r"doesn't return scalar|return value not void or scalar"),
    re.compile(r"^(?:unknown func|program of this type cannot use helper|invalid func) "),
    re.compile(r"BPF program is too large|jumps is too complex|too many (?:states|subprogs)|combined stack size"),
    re.compile(r"^func '[^']*' (?:doesn't have \S+ argument|arg\d+ type \S+ is not a)"),
    re.compile(r"^kernel subsystem misconfigured|is not modifiable|is not sleepable|cannot be found\.?$"),
)
"""Words behind which the verifier may say more, which is not the cause: it stands above."""
_OFFSET = re.compile(r"invalid bpf_context access off=(\d+) size=\d+")
_ARGUMENT = re.compile(r"func '[^']*' doesn't have (\d+)-\w+ argument")


_SEE_RETURNED = {"fexit", "fmod_ret", "fsession", "lsm", "lsm_cgroup"}
"""Sections whose programs find what the target returns behind its arguments (btf_ctx_access in kernel/bpf/btf.c)."""


def cause(log: str) -> str:
    """Return the line of a log that says what was wrong; empty if there is none."""
    lines = [line.strip() for line in _EXPLAINED.split(log)[0].splitlines()]
    for wanted in _DECISIVE:
        if found := next((line for line in reversed(lines) if wanted.search(line)), ""):
            return found.rstrip(".")
    plain = [line for line in lines if not _NOISE.match(line)]
    return plain[-1].rstrip(".") if plain else ""


def refused_helper(log: str) -> int | None:
    """Return the number of the helper that a log says may not be called."""
    found = _REFUSED_HELPER.findall(log)
    return int(found[-1][1]) if found else None


def called(program: Findings, number: int) -> str:
    """Return the name of a helper as the object itself calls it: libbpf puts bpf_probe_read in the place of newer ones.

    It does so where the kernel does not let it call bpf_probe_read_kernel (libbpf 0.1 to 1.7).
    """
    known = set(program.get("calls", ()))
    written = {4: (113, 112), 45: (114, 115)}.get(number, ())
    own = [one for one in written if one in known]
    if number in known or not written:
        own = [number]
    names = " and ".join(bpf.named(bpf.HELPERS, one, "helper").split(" (")[0] for one in own or written[:1])
    if number in own or (112 not in own and 114 not in own):
        return names
    return f"{names}, in whose place libbpf puts {bpf.named(bpf.HELPERS, number, 'helper').split(' (')[0]} here"


def said(program: Findings) -> str:
    """Return the end of a sentence on a program that the verifier does not take."""
    helpers = [bpf.named(bpf.HELPERS, number, "helper") for number in program["missing_helpers"]]
    if helpers:
        return f"it calls {', '.join(helpers)}, which this kernel does not have"
    rejected = f"the verifier rejects it ({name(program['load_errno'])})"
    words = cause(program["log"])
    return f"{rejected}: {words}" if words else rejected


def arguments(program: Findings) -> str:
    """Return the end of a sentence on a program that reads behind its target's arguments; empty if it does not."""
    there = program.get("arguments")
    if there is None:
        return ""
    offset, counted = _OFFSET.search(program["log"]), _ARGUMENT.search(program["log"])
    if not (offset or counted):
        return ""
    wanted = int(counted[1]) if counted else int(offset[1]) // 8 + 1 if offset else 0
    returned = program["section"].removeprefix("?").partition("/")[0].split(".")[0] in _SEE_RETURNED
    if wanted <= len(there) + returned:
        return ""
    behind = ", and behind these there is only what it returns" if returned else ""
    return f"{takes(program['target'], there)}{behind}, and the program reads value number {wanted}"


def takes(target: str, arguments: list[str]) -> str:
    """Return the part of a sentence on what a target takes: "f takes 2 arguments on this kernel (int, void *)"."""
    count = "no argument" if not arguments else "1 argument" if len(arguments) == 1 else f"{len(arguments)} arguments"
    listed = f" ({', '.join(arguments)})" if arguments else ""
    return f"{target} takes {count} on this kernel{listed}"

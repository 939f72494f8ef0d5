"""What a reason is made of: a class, how sure it is, and a sentence; and those reasons that loading and attaching share."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Any

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.dataclass import dataclass
from bpfcompat.outcome import Classification

Findings = dict[str, Any]
REFUSED = {errno.EINVAL, errno.EOPNOTSUPP, 524, errno.ENOSYS}
"""524 is the kernel's own ENOTSUPP, which reaches programs by mistake."""
RESOURCES = {errno.ENOMEM, errno.E2BIG, errno.ENOSPC}
_NAMES = {524: "ENOTSUPP", errno.EOPNOTSUPP: "EOPNOTSUPP"}  # whose other name in Python is ENOTSUP


@dataclass(frozen=True)
class Cause:
    """Why an object failed."""

    classification: Classification
    confidence: str
    reason: str
    stage: str
    """load, attach, functional, or infra where there is no verdict."""
    timed_out: bool = False


Why = tuple[Classification, str, str]
"""A class, how sure it is, and the end of a sentence."""


def because(what: str, stage: str, whys: Iterator[Why], more: str = "") -> Cause:
    """Return the first of several reasons, which stand in the order of their certainty."""
    classification, confidence, why = next(whys)
    return Cause(classification, confidence, f"{what}: {why.rstrip('.')}.{more}", stage)


def name(number: int) -> str:
    """Return an errno value's name."""
    return _NAMES.get(number) or errno.errorcode.get(number, f"errno {number}")


def locked_down(kernel: Findings) -> str:
    """Return how a kernel is locked down: integrity, confidentiality, or nothing."""
    locked = re.search(r"\[(?!none\b)(\w+)\]", kernel["lockdown"])
    return locked[1] if locked else ""


def denied(number: int, kernel: Findings) -> Iterator[Why]:
    """Yield the reason for what is not allowed, as opposed to not possible; a verifier's EACCES does not come here.

    A kernel that is locked down from its start has an empty tracefs (5.4 to 7.3): what stands in it is not there then.
    """
    if number not in ({errno.EPERM, errno.EACCES} if kernel["tracefs"] else {errno.EPERM, errno.EACCES, errno.ENOENT}):
        return
    if locked := locked_down(kernel):
        yield Classification.POLICY_DENIED, "high", f"it is locked down ({locked}), see kernel_lockdown(7)"
    elif number == errno.EACCES:
        why = f"a security policy forbids it (EACCES; active: {kernel['lsm']})"
        yield Classification.POLICY_DENIED, "medium", why
    elif number == errno.EPERM:
        yield Classification.CAPABILITY_FAILURE, "medium", "it is not permitted, not even to root (EPERM)"


def option(found: Findings, wanted: str) -> str:
    """Return how an option stands in the kernel's configuration: y, m, n, or nothing where that did not come with it."""
    options = found.get("host", {}).get("options")
    return options.get(wanted, "n") if options else ""


def not_built(found: Findings, wanted: str) -> str:
    """Return a sentence's end on an option that is not set; empty where it is set, or where that is not known."""
    return f"{wanted} is not set in this build" if option(found, wanted) == "n" else ""


def module_of(found: Findings, function: str) -> Findings:
    """Return the module among those that came with the kernel that has a function: its name, and whether it has BTF."""
    known: Findings = found.get("host", {}).get("modules", {}).get(function, {})
    return known


def guest(found: Findings) -> Architecture:
    """Return the architecture of the kernel."""
    return architecture.of(found.get("host", {}).get("arch", ""))


def in_module(found: Findings, function: str) -> str:
    """Return a sentence's end on a function that is in a module; empty if it is not, or if that is not known."""
    module = module_of(found, function)
    return f"{function} is in the module {module['module']}, which is not loaded" if module else ""


def looked_in_modules(found: Findings) -> bool:
    """Tell whether the modules that came with the kernel were looked into."""
    return bool(found.get("host", {}).get("modules_known"))

"""Why a program that was loaded was not attached, and how a test failed while all were."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from bpfcompat.outcome import Classification
from bpfcompat.validation import FunctionalTest
from bpfcompat.verdict import bpf, targets, verifier
from bpfcompat.verdict.causes import REFUSED, RESOURCES, Cause, Findings, Why, because, denied, name, not_built

_OPTIONS = {42: "CONFIG_FPROBE", 56: "CONFIG_FPROBE"}
"""What ways to attach need, that a kernel's BTF lists all the same: kprobe.multi, kprobe.session."""
_UPROBES = {"uprobe", "uretprobe", "usdt"}


def cause(program: Findings, found: Findings) -> Cause:
    """Return why a program was not attached."""
    what = f"Program '{program['name']}' ({program['section']}) loads, but cannot be attached on this kernel"
    if missing := _missing_file(program):
        what = f"Program '{program['name']}' ({program['section']}) loads, but cannot be attached"
        return because(what, "attach", iter([missing]))
    return because(what, "attach", _whys(program, found))


def _missing_file(program: Findings) -> Why | None:
    """Return the reason for a uprobe whose program is not in the guest, which is nothing of the kernel's."""
    if targets.kind(program) not in _UPROBES or program["attach_errno"] not in {errno.ENOENT, errno.ESRCH}:
        return None
    unsupported, file = (
        Classification.UNSUPPORTED_ATTACH_TYPE,
        program.get("file") or program["target"].partition(":")[0],
    )
    if program.get("file_found") is False:
        return unsupported, "high", f"the guest has no {file}; ship it with `files:`"
    return (
        unsupported,
        "high" if program.get("file_found") else "medium",
        f"{file} in the guest has no such function or probe",
    )


def _whys(program: Findings, found: Findings) -> Iterator[Why]:
    number = program["attach_errno"]
    unsupported = Classification.UNSUPPORTED_ATTACH_TYPE
    if program.get("reads_behind"):
        why = f"the program reads behind what the tracepoint {program['target']} has on this kernel ({name(number)})"
        yield unsupported, "high", why
    takes = program.get("arguments")
    if program["type"] == "raw_tracepoint" and number == errno.EINVAL and takes is not None:
        # __bpf_probe_register in kernel/trace/bpf_trace.c has no other reason for it, 4.17 to 7.3.
        yield unsupported, "high", f"{verifier.takes(program['target'], takes)}, and the program reads behind that"
    yield from denied(number, found["kernel"])
    if program["attach_type_known"] is False:
        way = bpf.named(bpf.ATTACH_TYPES, program["attach_type_id"], "attach type")
        yield unsupported, "high", f"it does not know {way}"
    if number == 524 and targets.kind(program) == "lsm" and (lacking := targets.without_trampolines(found)):
        yield unsupported, "high", lacking
    yield from targets.refused(program, found, number)
    if program["target_found"] is False or number == errno.ENOENT:
        yield (
            unsupported,
            "high",
            targets.absent(program["target"], program.get("function", {}), found, targets.kind(program)),
        )
    if number in RESOURCES:
        yield Classification.RESOURCE_LIMIT, "medium", f"the kernel had not what it takes to attach it ({name(number)})"
    if number in REFUSED:
        wanted = _OPTIONS.get(program["attach_type_id"], "")
        lacking = not_built(found, wanted) if wanted else ""
        why = lacking or f"it was built without that way to attach, or refuses it ({name(number)})"
        yield unsupported, "medium" if number == errno.EINVAL else "high", why
    yield Classification.UNKNOWN, "low", name(number)


def test_failure(test: FunctionalTest, ended: Findings) -> str:
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

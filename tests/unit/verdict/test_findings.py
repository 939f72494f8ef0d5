"""What findings mean, for the causes that no kernel here can produce; tests/guest/test_objects.py has the others."""

import errno

import pytest

from bpfcompat.model import Classification, Status
from bpfcompat.validation import ProgramChoice, Validation, Variant
from bpfcompat.verdict import findings

KERNEL = {"btf": True, "tracefs": True, "lsm": "lockdown,selinux", "lockdown": "[none] integrity confidentiality"}


def program(**changes):
    found = {
        "name": "p", "section": "lsm/file_open", "type": "lsm", "type_id": 29, "attach_type_id": 27, "wanted": True,
        "variant_lost": False, "load": "failed", "load_errno": errno.EINVAL, "attach": "skipped", "attach_errno": 0,
        "attach_skipped": "", "log": "", "log_bytes": 0, "said": "", "type_known": True, "attach_type_known": True,
        "target": "file_open", "target_found": True, "core_poisoned": False, "missing_helpers": [],
    }  # fmt: skip
    return {**found, **changes}


def found(*programs, load_errno=errno.EINVAL, maps=(), kernel=None, **changes):
    return {
        "libbpf": "v1.1", "mode": "load_attach", "open_errno": 0, "object_btf": True, "load_errno": load_errno,
        "maps": list(maps), "programs": list(programs), "missing_functions": [], "kernel": {**KERNEL, **(kernel or {})}, **changes,
    }  # fmt: skip


def made(**changes):
    one = {
        "name": "m", "type": "hash", "type_id": 1, "max_entries": 1, "declared_max_entries": 1, "create": "failed",
        "create_errno": errno.EINVAL, "fixup_errno": 0, "type_known": True,
    }  # fmt: skip
    return {**one, **changes}


C = Classification


@pytest.mark.parametrize(
    ("said", "classification", "confidence", "words"),
    [
        (found(program(), kernel={"btf": False}), C.MISSING_BTF, "high", "CONFIG_DEBUG_INFO_BTF"),
        (found(program(type="kprobe"), kernel={"btf": False}), C.MISSING_BTF, "medium", "CONFIG_DEBUG_INFO_BTF"),
        (found(program(type_known=False, type_id=31)), C.UNSUPPORTED_PROGRAM_TYPE, "high", "syscall (Linux 5.14)"),
        (found(program(), load_errno=errno.ENOSYS), C.UNSUPPORTED_PROGRAM_TYPE, "high", "without BPF"),
        (found(program(load_errno=524)), C.UNSUPPORTED_PROGRAM_TYPE, "medium", "ENOTSUPP"),
        (found(program(load_errno=errno.EPERM)), C.CAPABILITY_FAILURE, "medium", "not even to root"),
        # A section's name alone is no policy, and a verifier's EACCES no lack of a capability.
        (found(program(load_errno=errno.EACCES)), C.POLICY_DENIED, "medium", "active: lockdown,selinux"),
        (found(program(load_errno=errno.EACCES, log="R1 !read_ok", log_bytes=11)), C.VERIFIER_REJECTION, "high", "R1 !read_ok"),
        (found(program(load_errno=errno.EPERM), kernel={"lockdown": "none [integrity]"}), C.POLICY_DENIED, "high", "(integrity)"),
        (found(program(attach_type_known=False, attach_type_id=43)), C.UNSUPPORTED_ATTACH_TYPE, "high", "lsm_cgroup (Linux 6.0)"),
        (found(program(said="libbpf: prog 'p': relo #3: failed")), C.CORE_RELOCATION_FAILURE, "medium", "a type or field"),
        (found(program(core_poisoned=True)), C.CORE_RELOCATION_FAILURE, "medium", "a type or field"),
        (found(program(load_errno=errno.EIO)), C.UNKNOWN, "low", "EIO"),
        (found(program(load="loaded")), C.UNKNOWN, "low", "though each of its programs does alone"),
        (found(program(load="failed", wanted=False)), C.UNKNOWN, "low", "though each"),
        (found(program(), program(name="q")), C.UNSUPPORTED_PROGRAM_TYPE, "medium", "1 more fail, too."),
        (found(program(), maps=[made()]), C.UNSUPPORTED_MAP_TYPE, "medium", "refuses its flags or sizes (EINVAL)"),
        (found(program(), maps=[made(create_errno=errno.EPERM)]), C.CAPABILITY_FAILURE, "medium", "Map 'm'"),
        (found(program(), maps=[made(create_errno=errno.ENOMEM)]), C.RESOURCE_LIMIT, "high", "ENOMEM"),
        (found(program(), maps=[made(create="skipped", create_errno=0, fixup_errno=errno.EINVAL)]), C.UNSUPPORTED_MAP_TYPE, "medium", "m"),
        (found(program(load="loaded", attach="failed", attach_errno=errno.EIO), load_errno=0), C.UNKNOWN, "low", "EIO"),
    ],
)  # fmt: skip
def test_a_cause_has_its_class_and_how_sure_it_is(said, classification, confidence, words):
    verdict = findings.verdict(said, Validation())
    assert (verdict.status, verdict.classification, verdict.confidence) == (Status.FAIL, classification, confidence)
    assert words in verdict.reason


def test_what_is_allowed_to_fail_does_not():
    said = found(program(load="loaded", attach="failed", attach_errno=errno.ENOENT), load_errno=0)
    assert findings.verdict(said, Validation(mode="load_only")).status is Status.PASS
    assert (
        findings.verdict(said, Validation(programs=(ProgramChoice("p", attach_required=False),))).status is Status.PASS
    )
    assert findings.verdict(said, Validation()).status is Status.FAIL


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100000, b'{"open_errno"'])
def test_what_is_no_document_is_said_to_be_none(data):
    with pytest.raises(ValueError, match="it is not"):
        findings.readable(data)


def test_a_crash_of_libbpf_is_told_by_its_signal():
    assert findings.crash(findings.readable(b'{"libbpf":"v1.1","crashed":11}')) == "makes libbpf v1.1 crash (SIGSEGV)"


def test_a_group_without_a_variant_that_can_be_used_fails():
    said = found(program(load="skipped", variant_lost=True, wanted=False), load_errno=0)
    verdict = findings.verdict(said, Validation(variants=(Variant("g", "p", 181),)))
    assert verdict.status is Status.FAIL
    assert "None of the variants of 'g' can be used on this kernel: it has not the helpers" in verdict.reason

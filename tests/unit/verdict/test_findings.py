"""What findings mean, for the causes that no kernel here can produce; tests/guest/test_objects.py has the others."""

import errno

import pytest

from bpfcompat.outcome import Classification, Status
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
        (found(program(), program(name="q")), C.UNSUPPORTED_PROGRAM_TYPE, "medium", "1 more fails, too."),
        (found(program(), maps=[made()]), C.UNSUPPORTED_MAP_TYPE, "medium", "refuses its sizes (1 entry of"),
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


ASKED = {"prepare_errno": 0, "asked": True, "asked_errno": 22, "asked_flags": 0, "asked_attach_type": 0,
         "errno_without_flags": 22, "errno_without_type": 22, "type_offered": True, "calls": []}  # fmt: skip
LOCKED = {"lockdown": "none integrity [confidentiality]"}
NO_CONFIG = {"release": "7.3.4", "modules": {}, "modules_known": True}
HOST = {**NO_CONFIG, "options": {"CONFIG_BPF_LSM": "n", "CONFIG_BPF_KPROBE_OVERRIDE": "n", "CONFIG_FPROBE": "n"}}


def function(**changes):
    there = {
        "name": "f",
        "symbols": 1,
        "module": "",
        "variants": [],
        "in_btf": True,
        "traceable": True,
        "blacklisted": False,
    }
    return {**there, **changes}


def probe(number, section="kprobe/f", **changes):
    return program(
        **{
            "section": section,
            "type": "kprobe",
            "type_id": 2,
            "attach_type_id": 0,
            "load": "loaded",
            "attach": "failed",
            "attach_errno": number,
            "target": "f",
            "target_found": None,
            **changes,
        }
    )


def log(text, **changes):
    return {"log": text, "log_bytes": len(text), **ASKED, **changes}


@pytest.mark.parametrize(
    ("said", "classification", "words"),
    [
        (
            found(program(asked=False, said="libbpf: prog 'p': odd\nlibbpf: failed to load object 'o'\n")),
            C.LIBBPF_FAILURE,
            "asked the kernel (prog 'p': odd)",
        ),
        (
            found(program(**ASKED, type="xdp")),
            C.UNSUPPORTED_PROGRAM_TYPE,
            "it refuses this program before it verifies it",
        ),
        (
            found(program(**{**ASKED, "asked_flags": 32, "errno_without_flags": 0})),
            C.UNSUPPORTED_PROGRAM_TYPE,
            "xdp.frags), Linux 5.18",
        ),
        (
            found(program(**{**ASKED, "asked_attach_type": 43, "errno_without_type": 0})),
            C.UNSUPPORTED_ATTACH_TYPE,
            "lsm_cgroup",
        ),
        (
            found(program(**{**ASKED, "type_offered": False}), host=HOST),
            C.UNSUPPORTED_PROGRAM_TYPE,
            "CONFIG_BPF_LSM is not set in this build",
        ),
        (
            found(program(**{**ASKED, "type_offered": False}), host=NO_CONFIG),
            C.UNSUPPORTED_PROGRAM_TYPE,
            "though its BTF lists it",
        ),
        (found(program(load_errno=errno.ENOMEM, **ASKED)), C.RESOURCE_LIMIT, "ENOMEM"),
        (
            found(program(type="kprobe", **log("unknown func bpf_override_return#58")), host=HOST),
            C.UNSUPPORTED_PROGRAM_TYPE,
            "CONFIG_BPF_KPROBE_OVERRIDE is not set",
        ),
        (
            found(program(type="kprobe", **log("unknown func bpf_override_return#58")), host=NO_CONFIG),
            C.UNSUPPORTED_PROGRAM_TYPE,
            "configuration is not known",
        ),
        (
            found(program(**log("unknown func bpf_probe_read#4", calls=[113, 14])), kernel=LOCKED),
            C.POLICY_DENIED,
            "it calls bpf_probe_read_kernel, which is",
        ),
        (
            found(program(**log("unknown func bpf_probe_read#4", calls=[112])), kernel=LOCKED),
            C.POLICY_DENIED,
            "bpf_probe_read_user, in whose place",
        ),
        # That a kernel is locked down is not why a program may not call what no program of its type may.
        (
            found(program(**log("unknown func bpf_get_socket_uid#47")), kernel=LOCKED),
            C.VERIFIER_REJECTION,
            "bpf_get_socket_uid",
        ),
        (
            found(
                program(
                    **log("The address of function f cannot be found\n"),
                    load_errno=errno.ENOENT,
                    function=function(symbols=0, variants=["f.isra.0"]),
                )
            ),
            C.UNSUPPORTED_ATTACH_TYPE,
            "there is only f.isra.0",
        ),
        (
            found(
                program(
                    **log("invalid bpf_context access off=40 size=8\n"),
                    section="fentry/f",
                    target="f",
                    arguments=["int", "struct x *"],
                )
            ),
            C.VERIFIER_REJECTION,
            "f takes 2 arguments on this kernel (int, struct x *), and the program reads value number 6",
        ),
        (
            found(
                program(
                    **log("invalid bpf_context access off=16 size=8\n"),
                    section="fexit/f",
                    target="f",
                    arguments=["int", "struct x *"],
                )
            ),
            C.VERIFIER_REJECTION,
            "invalid bpf_context access off=16",
        ),
        (
            found(probe(errno.EADDRNOTAVAIL, function=function(symbols=3)), load_errno=0),
            C.UNSUPPORTED_ATTACH_TYPE,
            "there are 3 functions called f",
        ),
        (
            found(probe(errno.EINVAL, function=function(traceable=False)), load_errno=0),
            C.UNSUPPORTED_ATTACH_TYPE,
            "f is there, but must not be probed (notrace)",
        ),
        (
            found(probe(524, "fentry/f", type="tracing", function=function(), arguments=["int"] * 9), load_errno=0),
            C.UNSUPPORTED_ATTACH_TYPE,
            "takes 9 arguments, and fentry can carry 6",
        ),
        (
            found(
                probe(errno.ENOENT, function=function(symbols=0)),
                load_errno=0,
                host={**HOST, "modules": {"f": {"module": "m", "btf": False}}},
            ),
            C.UNSUPPORTED_ATTACH_TYPE,
            "f is in the module m, which is not loaded.",
        ),
        (found(probe(errno.ENOMEM), load_errno=0), C.RESOURCE_LIMIT, "ENOMEM"),
        (
            found(
                maps=[made(name="o.kconfig", create="created", create_errno=0)],
                prepare_errno=22,
                prepared_apart=True,
                said="",
                kernel={"config": True},
            ),
            C.LIBBPF_FAILURE,
            "libbpf 1.1 failed before it asked the kernel",
        ),
        # Neither policy nor age: the program reads what is not there.
        (
            found(
                probe(errno.EACCES, "tracepoint/a/b", type="tracepoint", target="a/b", reads_behind=True), load_errno=0
            ),
            C.UNSUPPORTED_ATTACH_TYPE,
            "the program reads behind what the tracepoint a/b has on this kernel (EACCES)",
        ),
        (
            found(probe(errno.EINVAL, "raw_tp/e", type="raw_tracepoint", target="e", arguments=["int"]), load_errno=0),
            C.UNSUPPORTED_ATTACH_TYPE,
            "e takes 1 argument on this kernel (int), and the program reads behind that",
        ),
        (
            found(
                program(
                    **log("Only fentry/fexit/fmod_ret and lsm programs can be sleepable\n"),
                    section="tp_btf.s/e",
                    type="tracing",
                )
            ),
            C.UNSUPPORTED_PROGRAM_TYPE,
            "it takes no sleepable programs of the type tp_btf.",
        ),
        # What libbpf got made is not to blame, whatever it is when it is alone.
        (
            found(program(**log("R1 !read_ok")), maps=[made()], prepare_errno=0, prepared_apart=True),
            C.VERIFIER_REJECTION,
            "R1 !read_ok",
        ),
    ],
)
def test_the_kernel_is_blamed_for_what_it_was_asked(said, classification, words):
    verdict = findings.verdict(said, Validation())
    assert (verdict.status, verdict.classification) == (Status.FAIL, classification), verdict.reason
    assert words in verdict.reason


def test_a_configuration_that_did_not_come_is_no_failure_of_the_kernel():
    said = found(
        program(asked=False),
        maps=[made(name="o.kconfig", create="created", create_errno=0)],
        prepare_errno=22,
        prepared_apart=True,
        said="",
        kernel={"config": False},
    )
    verdict = findings.verdict(said, Validation())
    assert (verdict.status, verdict.classification) == (Status.INFRA_ERROR, C.KERNEL_UNAVAILABLE)


def test_a_module_that_helps_is_named_in_a_hint():
    missing = {"missing_functions": ["f"], "host": {**HOST, "modules": {"f": {"module": "m", "btf": True}}}}
    assert any("guest: {modules: [m]}" in hint for hint in findings.hints(found(program(), **missing)))
    missing["host"]["modules"]["f"]["btf"] = False
    assert not list(findings.hints(found(program(), **missing)))
    assert findings.asked_of_host(found(program(load="loaded"), load_errno=0)) is None
    assert findings.asked_of_host(found(program(), missing_functions=["f"])) == ["f"]

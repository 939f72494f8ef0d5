"""Hints, from what kernels and libbpf really printed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat.model import Features
from bpfcompat.outcome import Stream
from bpfcompat.verdict import bpf, hints

from ..report.test_report import FAIL, PASS, target


def hinted(stderr="", log="", verdict=FAIL):
    record = target("a", verdict, stderr=stderr).record
    return hints.of(replace(record, outcome=replace(record.outcome, stderr=Stream(tail=stderr), kernel_log=log)))


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("0: (85) call unknown#181\ninvalid func unknown#181", "bpf_loop, which this kernel does not have; upstream has it since"),
        ("invalid func unknown#99999", "helper number 99999"),
        ("unknown func bpf_get_current_task#35", "may not call bpf_get_current_task"),
        ("program of this type cannot use helper bpf_probe_read_user#112", "may not call bpf_probe_read_user"),
        ("number of funcs in func_info doesn't match number of subprogs", "since 5.13"),
        ("libbpf: failed to find valid kernel BTF", "no BTF of its own"),
        ("libbpf: prog 'x': relo #0: no matching targets found", "bpf_core_field_exists"),
        ("libbpf: prog 'f': failed to find kernel BTF type ID of 'vfs_gone': -3", "no function or type vfs_gone"),
        ("libbpf: failed to determine tracepoint 'a/b' perf event ID: No such file or directory", "no tracepoint a/b"),
        ("libbpf: prog 'k': failed to create kprobe 'nope+0x0' perf event: No such file or directory", "no function nope"),
        ("libbpf: map 'm': failed to create: Invalid argument(-22)", "refuses to make the map m"),
        ("libbpf: prog 'p': failed to attach: -EOPNOTSUPP", "cannot attach the program p"),
        ("libbpf: prog 'p': failed to attach: -ENOTSUPP", "six before Linux 6.6"),
        ("libbpf: prog 'k': failed to create kprobe 'nope+0x0' perf event: -ENOENT", "no function nope"),
        ("libbpf: prog 'p': failed to attach: Operation not supported", "cannot attach the program p"),
        ("BPF program is too large. Processed 1000001 insn", "too complex"),
        ("load program: bad CO-RE relocation: invalid func", "bpf_core_field_exists"),
        ("no BTF found for kernel version 5.10.0: not supported", "no BTF of its own"),
        ("libbpf: failed to open system Kconfig", "did not come with this kernel"),
        ("libbpf: extern (var ksym) 'bpf_x': not found in kernel BTF", "no variable bpf_x"),
        ("libbpf: extern (func ksym) 'bpf_f': not found in kernel or module BTFs", "does not offer bpf_f"),
        ("libbpf: extern (func ksym) 'f': func_proto [12] incompatible with vmlinux [34]", "f (kfunc) takes other arguments"),
        ("libbpf: struct_ops init_kern: struct sched_ext_ops is not found in kernel BTF", "no sched_ext_ops that"),
        ("libbpf: prog 'p': attach program FD is not set", "that is the loader's, not the kernel's"),
        ("bash: line 1: sudo: command not found", "leave `sudo` out"),
        ("libbpf: map 'big': failed to create: Cannot allocate memory(-12)", "not enough memory for the map big"),
        ("chdir(/lib/modules/6.1.0-56-cloud-amd64/build): No such file or directory", "write `headers: true` in the profile"),
        ("bash: line 1: bpftool: command not found", "The guest has no bpftool; ship it"),
    ],
)  # fmt: skip
def test_a_failure_in_libbpf_s_own_words(stderr, words):
    (hint,) = hinted(stderr)
    assert words in hint


def test_a_lockdown_is_told_from_the_kernel_log():
    (hint,) = hinted(log="Lockdown: bpftool: use of bpf to read kernel RAM is restricted; see man kernel_lockdown.7")
    assert "use of bpf to read kernel RAM" in hint


def made_by(stderr, **parts):
    record = target("a", FAIL, stderr=stderr).record
    return hints.of(replace(record, key_parts=parts))


def test_what_is_the_guest_s_is_not_told_of_the_kernel():
    assert made_by("perf_event_open: No such file or directory", accelerator="kvm") == ()
    (hint,) = made_by("perf_event_open: No such file or directory", accelerator="tcg")
    assert "no hardware performance counters, whatever its kernel" in hint
    (hint,) = made_by("cp: write error: No space left on device", memory=1024)
    assert "its files are in its memory, of which it has 1024 MiB; write `memory: 4G`" in hint
    (hint,) = made_by("bash: line 1: strace: command not found", rootfs="a" * 64)
    assert hint.startswith("The guest's root filesystem (guest.rootfs) has no strace")
    told = made_by("unknown func bpf_probe_read#4", **{"kernel command line": "panic=-1 lockdown=confidentiality"})
    assert len(told) == 1
    assert "locked down by its command line (lockdown=confidentiality)" in told[0]
    assert hints.functions_not_found("libbpf: prog 'f': failed to find kernel BTF type ID of 'br_forward': -3") == (
        "br_forward",
    )


def test_nothing_is_said_of_what_passed_or_is_not_known():
    assert hinted("invalid func unknown#181", verdict=PASS) == ()
    assert hinted("Segmentation fault") == ()


def test_a_hint_is_told_once():
    assert len(hinted("invalid func unknown#181\n" * 20)) == 1


def made_with(stderr, features=None, **asked):
    record = target("a", FAIL, stderr=stderr).record
    told = {"sections": {}, "helpers": [], "options": {}, **asked}
    return hints.of(replace(record, outcome=replace(record.outcome, stderr=Stream(tail=stderr), asked=told)), features)


CALLBACK = "number of funcs in func_info doesn't match number of subprogs"
REFUSED = "libbpf: prog 'k': failed to attach: -EOPNOTSUPP"


def test_a_hint_names_the_one_thing_that_was_asked_for():
    every = {name: frozenset(table) for name, table in (
        ("map_types", bpf.MAP_TYPES), ("program_types", bpf.PROGRAM_TYPES), ("attach_types", bpf.ATTACH_TYPES), ("helpers", bpf.HELPERS),
    )}  # fmt: skip
    new = Features(**every, charges_memlock=False)
    old = replace(new, attach_types=frozenset())
    assert made_with(CALLBACK, helpers=[14, 131, 181]) == (
        "The program calls bpf_loop with a function of its own; upstream has bpf_loop since Linux 5.17.",
    )
    (hint,) = made_with(CALLBACK)
    assert "bpf_" not in hint
    multi = {"sections": {"k": "?kprobe.multi/do_nanosleep", "t": "tcx/ingress"}}
    (hint,) = made_with(REFUSED, old, **multi)
    assert hint.startswith(
        "The program k is attached by kprobe.multi, which this kernel does not know; upstream has it since Linux 5.18"
    )
    (hint,) = made_with(REFUSED, new, **multi, options={"CONFIG_FPROBE": "n"})
    assert "needs CONFIG_FPROBE" in hint
    for features, asked in ((new, multi), (old, {}), (old, {"sections": {"k": "kprobe/x"}})):
        (hint,) = made_with(REFUSED, features, **asked)
        assert hint == (
            "This kernel cannot attach the program k as asked: it is older than that way to attach, or was built without it."
        )


def test_map_types_are_named_beside_a_map_that_was_refused():
    every = {name: frozenset() for name in ("map_types", "program_types", "attach_types", "helpers")}
    refused = "libbpf: map 'm': failed to create: Invalid argument(-22)"
    record = target("a", FAIL, stderr=refused).record
    record = replace(record, outcome=replace(record.outcome, stderr=Stream(tail=refused)))
    every["map_types"] = frozenset(bpf.MAP_TYPES) - {30, 33}
    refuses, types = hints.of(record, Features(**every, charges_memlock=True))
    assert refuses.startswith("The kernel refuses to make the map m")
    assert types == "This kernel has no maps of the types bloom_filter (Linux 5.16), arena (Linux 6.9)."


PRINTED = json.loads((Path(__file__).parent / "printed.json").read_text())
"""What the programs of tests/loaders printed over objects of tests/objects, each on the oldest kernel that refuses it."""
MEANS = {
    "arena": "refuses to make the map arena", "bloom": "refuses to make the map bloom",
    "core_absent": "guard it with bpf_core_field_exists()",
    "fentry_absent": "BTF lists no function or type bpfcompat_has_no_such_function", "fentry_many": "six before Linux 6.6",
    "fmod_ret": "__x64_sys_getpgid is not among the functions", "freplace": "the loader has not said which",
    "kfunc": "does not offer bpf_rcu_read_lock", "kprobe_absent": "no function bpfcompat_has_no_such_function that a kprobe",
    "kprobe_blacklisted": "no function do_int3 that a kprobe", "kprobe_isra": "no function __neigh_ifdown that a kprobe",
    "kprobe_multi": "cannot attach the program on_many", "kprobe_notrace": "no function trace_clock_local that a kprobe",
    "ksym_absent": "no variable bpfcompat_has_no_such_variable", "lirc": "before it verifies it", "loop": "since 5.13",
    "map_flags": "refuses to make the map mapped", "map_too_large": "not enough memory for the map big",
    "module_fentry": "lists no function or type br_forward", "module_kprobe": "no function br_forward that a kprobe",
    "netfilter": "libbpf does not know the section netfilter", "override_return": "CONFIG_BPF_KPROBE_OVERRIDE",
    "restricted": "no kernel takes that", "sched_ext": "no sched_ext_ops", "sleepable": "__x64_sys_getpgid is not among the functions",
    "tcx": "libbpf does not know the section tcx/ingress", "timer": "calls bpf_timer_init", "xdp_frags": "before it verifies it",
    "tracepoint_absent": "no tracepoint syscalls/sys_enter_bpfcompat",
    # What the libraries of Go and Rust see otherwise.
    "go-kprobe_multi": "has bpf_link_kprobe_multi: it has not, and upstream has it since Linux 5.18",
    "go-ksym_absent": "cilium/ebpf does not know typed variables", "go-netfilter": "before it verifies it",
    "go-tcx": "has tcx: it has not, and upstream has it since Linux 6.6", "rust-fmod_ret": "aya does not know the section fmod_ret/",
    "rust-kconfig": "aya does not know what the kernel is asked for by name (.kconfig", "rust-kfunc": "by name (.ksyms",
    "rust-kprobe_multi": "aya does not know the section kprobe.multi/", "rust-ksym_absent": "by name (.ksyms",
    "rust-map_too_large": "refuses to make the map big", "rust-netfilter": "aya does not know the section netfilter",
    "rust-tcx": "aya does not know the section tcx/ingress", "rust-timer": "aya does not know the section tc:",
    **{f"rust-{kind}": "aya could not open a perf event" for kind in (
        "kprobe_absent", "kprobe_blacklisted", "kprobe_isra", "kprobe_notrace", "module_kprobe",
    )},
}  # fmt: skip


@pytest.mark.parametrize("case", PRINTED)
def test_real_loaders_in_three_languages(case):
    """One hint each, and none where the verifier has said it all."""
    told = made_by(PRINTED[case], memory=512, accelerator="tcg")
    language, _, name = case.partition("-")
    if name == "rejected":
        assert told == ()
        return
    (hint,) = told
    assert MEANS.get(case, MEANS.get(name)) in hint, language


def test_a_function_that_a_loader_did_not_find_is_looked_for_in_modules():
    found = {case: hints.functions_not_found(text) for case, text in PRINTED.items() if "module_" in case}
    assert {case for case, names in found.items() if names != ("br_forward",)} == {
        "rust-module_kprobe"
    }  # aya does not name it


def test_a_log_that_cilium_left_out_is_asked_for():
    (hint,) = hinted("loading objects: program p: load program: invalid argument:  (30 line(s) omitted)")
    assert "print the error with %+v" in hint


def test_a_guess_at_memlock_is_put_right_by_what_the_kernel_is():
    said = "loading objects: map m: map create: operation not permitted (MEMLOCK may be too low, consider rlimit.RemoveMemlock)"
    record = target("a", FAIL, stderr=said).record
    empty = Features(*(frozenset() for _ in range(4)), charges_memlock=True)
    assert any("charges BPF memory to RLIMIT_MEMLOCK (until" in hint for hint in hints.of(record, empty))
    other = hints.of(record, replace(empty, charges_memlock=False))
    assert any("does not charge BPF memory to RLIMIT_MEMLOCK" in hint for hint in other)

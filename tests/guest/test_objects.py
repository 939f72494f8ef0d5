"""Objects without a loader, on five kernels: what is expected in each cell follows from upstream's history, not from a run."""

import contextlib
import json
import random
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bpfcompat import kernels
from bpfcompat.guest import payload
from bpfcompat.kernels import facts
from bpfcompat.model import Check, Matrix, Project
from bpfcompat.outcome import Classification, Status
from bpfcompat.project import manifest, matrix
from bpfcompat.report import document
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session
from tests import disagreements
from tests.parts import KIT

from .conftest import EXAMPLE

KERNELS = {
    "debian-11-5.10": (5, 10),
    "debian-12-6.1": (6, 1),
    "debian-13-6.12": (6, 12),
    "debian-13-6.18": (6, 18),
    "debian-13-backports": (7, 3),
}
NEVER = (99, 0)


@dataclass(frozen=True)
class Fact:
    """When upstream came to take an object, and what an older kernel says."""

    since: tuple[int, int]
    classification: Classification | None = None
    words: str = ""
    option: str = ""
    """What the kernel must be built with, too."""
    program: str = ""
    """Which program is to blame."""
    stage: str = "load"
    """Empty where kernels differ."""


A, M, P = (Classification(f"UNSUPPORTED_{kind}_TYPE") for kind in ("ATTACH", "MAP", "PROGRAM"))
VERIFIER, CORE = Classification.VERIFIER_REJECTION, Classification.CORE_RELOCATION_FAILURE
RESOURCES = Classification.RESOURCE_LIMIT
FACTS = {
    "ringbuf": Fact((5, 8), M),
    "loop": Fact((5, 17), VERIFIER, "it calls bpf_loop (Linux 5.17), which this kernel does not have", program="uses_bpf_loop"),
    "kprobe_multi": Fact((5, 18), A, "cannot be attached", "CONFIG_FPROBE", "on_many", "attach"),
    "arena": Fact((6, 9), M, "Map 'arena' cannot be made on this kernel: it does not have the type arena (Linux 6.9)"),
    "bloom": Fact((5, 16), M, "the type bloom_filter (Linux 5.16)"),
    "map_unknown": Fact(NEVER, M, "the type type 200"),
    "fentry_absent": Fact(NEVER, A, "there is no bpfcompat_has_no_such_function to attach it to", program="on_absent"),
    "core_absent": Fact(NEVER, CORE, "struct task_struct.bpfcompat_has_no_such_field, which is not there", program="reads_absent"),
    "core_guarded": Fact((5, 5)),
    "rejected": Fact(NEVER, VERIFIER, "R0 invalid mem access 'map_value_or_null'", program="follows_null"),
    "tracepoint_absent": Fact(NEVER, A, "there is no syscalls/sys_enter_bpfcompat", program="on_absent", stage="attach"),
    "lsm": Fact((5, 7), P, option="CONFIG_BPF_LSM"),
    "xdp": Fact((5, 9), A),
    "unsized": Fact((5, 8), M),
    "several": Fact(NEVER, VERIFIER, "invalid mem access", program="second"),
    "attach_kinds": Fact((5, 9), A),
    "kfunc": Fact((6, 2), CORE, "bpf_rcu_read_lock, bpf_rcu_read_unlock, which this kernel does not offer"),
    # libbpf finds these out, and no kernel is asked.
    "kconfig": Fact((5, 10)),
    "ksym_absent": Fact(NEVER, CORE, "The object reads bpfcompat_has_no_such_variable, which this kernel does not have"),
    "kfunc_prototype": Fact(NEVER, CORE, "The object calls bpf_rcu_read_lock"),
    "kfunc_weak": Fact((5, 10)),
    "kfunc_unguarded": Fact(NEVER, CORE, "it calls bpfcompat_has_no_such_kfunc (kfunc)", program="unguarded"),
    "struct_ops_absent": Fact(NEVER, A, "This kernel has no bpfcompat_ops that a BPF program could implement"),
    "sched_ext": Fact((6, 12), A, "CONFIG_SCHED_CLASS_EXT", "CONFIG_SCHED_CLASS_EXT"),
    "struct_ops_unused": Fact(NEVER, Classification.LIBBPF_FAILURE, "failed before it asked the kernel", program="unused"),
    "freplace": Fact(NEVER, A, "only its own loader can name that program", program="replaces"),
    "maps_only": Fact((5, 10)),
    "xdp_frags": Fact((5, 18), P, "does not know the flag that this one is loaded with: BPF_F_XDP_HAS_FRAGS", program="passes"),
    # What the guest has not, or no kernel makes.
    "map_too_large": Fact(NEVER, RESOURCES, "1,048,576 entries of 4 + 1,024 bytes, about 1,024 MiB, and the guest has 4"),
    # How many of three maps of 200 MiB fit is the guest's affair.
    "maps_too_many": Fact(NEVER, RESOURCES, "cannot be made in this guest: it asks for 204,800 entries of 4 + 1,024 bytes, about 200 MiB"),
    "map_too_many_bytes": Fact(NEVER, RESOURCES, "this kernel limits such a map or its elements to less, whatever the memory (E2BIG)"),
    # Targets. What compilers made of them was read in the symbols of these kernels.
    "module_fentry": Fact(NEVER, A, "br_forward is in the module bridge, which is not loaded", program="on_forward"),
    "module_kprobe": Fact(NEVER, A, "br_forward is in the module bridge, which is not loaded", "", "on_forward", "attach"),
    "kprobe_absent": Fact(NEVER, A, "neither in it nor in a module that came with it", "", "on_absent", "attach"),
    "kprobe_blacklisted": Fact(NEVER, A, "do_int3 is there, but must not be probed", "", "on_int3", "attach"),
    "kprobe_isra": Fact(NEVER, A, "__neigh_ifdown is there only as __neigh_ifdown.isra.0", "", "on_copy", "attach"),
    "kprobe_several": Fact(NEVER, A, "functions called __list_del_entry", "", "on_several", "attach"),
    "uprobe_absent": Fact(NEVER, A, "the guest has no /usr/bin/bpfcompat-no-such-program; ship", "", "on_main", "attach"),
    # What hangs on the configuration. Linux 7.1 lets system calls be modified (20c2e102a2f3), and sleepable programs be attached to
    # them (16d9c5660692), without it: both went into bpf-next on 9 March 2026, in the weeks of 7.0-rc.
    "override_return": Fact(NEVER, P, "it calls bpf_override_return, and ", program="overrides"),  # Debian does not set its option
    "fmod_ret": Fact((7, 1), A, "CONFIG_FUNCTION_ERROR_INJECTION is not set in this build", program="modifies"),
    "sleepable": Fact((7, 1), A, "CONFIG_FUNCTION_ERROR_INJECTION is not set in this build", program="sleeps"),
    "arguments": Fact(NEVER, VERIFIER, "sys_enter takes 2 arguments on this kernel (struct pt_regs *, long int)", program="reads_third"),
    "global_scalar": Fact(NEVER, VERIFIER, "Global function count() ", program="calls_global"),
    # Arguments, of what a program is attached to by BTF.
    "lsm_arguments": Fact(NEVER, VERIFIER, "file_open takes 1 argument on this kernel (struct file *), and behind these there is only"
                          " what it returns, and the program reads value number 3", program="reads_third"),
    "fentry_arguments": Fact(NEVER, VERIFIER, "and the program reads value number 6", program="reads_sixth"),
    "fexit_arguments": Fact(NEVER, VERIFIER, "vfs_fsync takes 2 arguments on this kernel (struct file *, int), and behind",
                            program="reads_fourth"),
    "struct_ops_arguments": Fact(NEVER, VERIFIER, "tcp_congestion_ops.ssthresh takes 1 argument on this kernel (struct sock *), and the"
                                 " program reads value number 3", program="reads_third"),
    "struct_ops": Fact((5, 6)),
    # What must not be probed, and what is too much for a trampoline.
    # The BTF of 5.10 lists no function that is not traceable, so libbpf does not find it; later ones do.
    "fentry_notrace": Fact(NEVER, A, "trace_clock_local is there, but ", "", "on_notrace", ""),
    "kprobe_notrace": Fact(NEVER, A, "trace_clock_local is there, but must not be probed (notrace)", "", "on_notrace", "attach"),
    "fentry_many": Fact((6, 6), A, "do_mmap takes 8 arguments, and fentry can carry 6 on this kernel: 12 since Linux 6.6", "",
                        "on_mmap", "attach"),
    # Options that kernels for clouds are built without; and types, ways and flags by their age.
    "lirc": Fact(NEVER, P, "no programs of the type lirc_mode2: CONFIG_BPF_LIRC_MODE2 is not set in this build", program="decodes"),
    "hid_bpf": Fact(NEVER, A, "This kernel has no hid_bpf_ops that a BPF program could implement (struct_ops): "),
    "netfilter": Fact((6, 4), P, "it has no programs of the type netfilter (Linux 6.4)", program="passes"),
    "timer": Fact((5, 15), VERIFIER, "it calls bpf_timer_init (Linux 5.15), which this kernel does not have", program="starts"),
    "tcx": Fact((6, 6), A, "it does not know tcx/ingress (Linux 6.6)", "", "on_packet", "attach"),
    "sleepable_uprobe": Fact((6, 0), P, "it takes no sleepable programs of the type kprobe (Linux 6.0)", program="sleeps"),
    "restricted": Fact(NEVER, VERIFIER, "cannot call GPL-restricted function from non-GPL compatible program", program="traces"),
    "map_flags": Fact(NEVER, M, "refuses its flags (BPF_F_MMAPABLE) or its sizes (16 entries of 4 + 4 bytes"),
    "tracepoint_behind": Fact(NEVER, A, "the program reads behind what the tracepoint syscalls/sys_enter_getpgid has on this kernel", "",
                              "reads_behind", "attach"),
    "raw_tracepoint_behind": Fact(NEVER, A, "sys_enter takes 2 arguments on this kernel (struct pt_regs *, long int), and the program", "",
                                  "reads_eighth", "attach"),
    "lsm_cgroup": Fact((6, 0), A, "it cannot attach that way: lsm_cgroup (Linux 6.0)", program="allows"),
    "lsm_absent": Fact(NEVER, A, "there is no LSM hook bpfcompat_hook", program="on_absent"),
    "iter_link": Fact((5, 19), A, "there is no iterator bpf_link", program="each"),
    "connect_unix": Fact((6, 7), A, "it cannot attach that way: cgroup/connect_unix (Linux 6.7)", program="allows"),
    "uprobe_multi": Fact((6, 6), A, "it does not know uprobe.multi (Linux 6.6)", "", "on_main", "attach"),
    "kprobe_session": Fact((6, 10), A, "it does not know kprobe.session (Linux 6.10)", "CONFIG_FPROBE", "on_nanosleep", "attach"),
    # Old kernels load these, and have no way to attach them.
    "netkit": Fact((6, 7), A, "it does not know netkit/primary (Linux 6.7)", "", "on_packet", "attach"),
    "sk_skb_verdict": Fact((5, 13), A, "it does not know sk_skb/verdict (Linux 5.13)", "", "decides", "attach"),
    # What is the object's own.
    "inner_unsaid": Fact(NEVER, M, "the object does not say what the maps in it are, which its own loader has to"),
    "kconfig_absent": Fact(NEVER, CORE, "reads CONFIG_BPFCOMPAT_NO_SUCH of the kernel's configuration"),
    "percpu_large": Fact(NEVER, RESOURCES, "1 entry of 4 + 65,536 bytes, and this kernel limits such a map or its elements to less"),
    "d_path": Fact(NEVER, VERIFIER, "helper call is not allowed in probe", program="looks"),
    "wrong_helper": Fact(NEVER, VERIFIER, "bpf_override_return", program="overrides"),
    # The validator reads what it needs before an LSM program can refuse it.
    "lsm_refuses": Fact(NEVER, A, "there is no bpfcompat_has_no_such_function", "", "on_absent", "attach"),
}  # fmt: skip


@pytest.fixture(scope="session")
def four():
    found = {profile.id: profile for profile in matrix.load("mvp", Path()).profiles}
    return Matrix(tuple(found[name] for name in KERNELS))


@pytest.fixture
def run(tmp_path, four):
    """Run checks on the four kernels and return the whole run."""

    def run(*checks, profiles=four, **options):
        return all_of(Project(checks, profiles, tmp_path / ".bpfcompat"), **options)

    return run


def all_of(project, **options):
    with contextlib.closing(Session(project, Options(**options))) as session:
        return engine.run(session)


def tried(name, path, file=None, mode=None):
    """A check that has the validator try an object."""
    validation, required = manifest.load(file, mode)
    command = manifest.command(validation)
    return Check(command, name=name, artifact=path, validation=validation, required_profiles=required)


def by_cell(found):
    return {(target.job.check.name, target.job.profile.id): target for target in found.targets}


@pytest.fixture(scope="session")
def table(objects, four, tmp_path_factory, told):
    """Every object on every kernel, in one run. What then has no verdict since two runs disagreed is told, and runs again once."""
    checks = tuple(tried(name, objects / f"{name}.bpf.o") for name in FACTS)
    project = Project(checks, four, tmp_path_factory.mktemp("table") / ".bpfcompat")
    found = all_of(project)
    if disagreed := disagreements.below(project.workdir):
        told.extend(disagreed)
        found = all_of(project)
    return found


@pytest.fixture(scope="session")
def options(four):
    """What each kernel was built with."""
    from bpfcompat.system import host

    fetched = {profile.id: kernels.fetch(profile, host.cache_folder()) for profile in four.profiles}
    return {name: facts.options(kernel.config) for name, kernel in fetched.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", FACTS)
def test_an_object_fares_as_upstream_s_history_says(table, options, name, kernel):
    fact, target = FACTS[name], by_cell(table)[name, kernel]
    verdict = target.record.verdict
    # Debian's newest came without its configuration; the options of those before it are taken to hold.
    lacking = {fact.option} if fact.option and options[kernel] and options[kernel].get(fact.option) != "y" else set()
    takes = KERNELS[kernel] >= fact.since and (fact.option not in lacking)
    assert verdict.status is (Status.PASS if takes else Status.FAIL), verdict.reason
    if takes:
        assert verdict.classification is None
        return
    assert verdict.classification is fact.classification
    assert verdict.confidence in ("high", "medium")
    assert fact.words in verdict.reason
    assert not fact.program or f"Program '{fact.program}'" in verdict.reason
    assert verdict.failed_stage == fact.stage or not fact.stage


@pytest.mark.slow
def test_the_report_tells_each_program_and_validates(table):
    from bpfcompat.project import schema

    report = document.render(table, {"json": "x"})
    assert schema.problems(report, "report") == []
    rows = {(row["check"], row["profile_id"]): row for row in report["targets"]}
    several = rows["several", "debian-12-6.1"]
    assert several["validation"] == {"load_status": "fail", "attach_status": "skipped"}
    assert [(one["name"], one["load_status"]) for one in several["programs"]] == [
        ("first", "pass"),
        ("second", "fail"),
        ("third", "pass"),
    ]
    assert several["programs"][1]["load_errno"] == 13
    assert "invalid mem access" in several["programs"][1]["verifier_log_tail"]
    assert "these programs load when they are alone: first, third" in several["notes"]
    assert several["classification_confidence"] == "high"
    assert rows["loop", "debian-11-5.10"]["programs"][0]["missing_helpers"] == ["bpf_loop (Linux 5.17)"]
    for kernel in KERNELS:
        kinds = rows["attach_kinds", kernel]
        assert kinds["validation"] == {"load_status": "pass", "attach_status": "pass"}
        skipped = {one["name"] for one in kinds["programs"] if one["attach_status"] == "skipped"}
        assert skipped == {"without_target", "on_socket"}
        assert {one["attach_status"] for one in kinds["programs"] if one["name"] not in skipped} == {"pass"}
        assert kinds["btf"] == {"kernel": True, "object": True}
        sized = {
            one["name"]: (one["declared_max_entries"], one["max_entries"]) for one in rows["unsized", kernel]["maps"]
        }
        assert sized == {"events": (0, 262144), "by_cpu": (0, 1), "by_pid": (0, 1024)}
        assert any("map 'events' declares 0 entries" in note for note in rows["unsized", kernel]["notes"])


@pytest.mark.slow
def test_an_lsm_program_that_is_never_called_is_told(table):
    """Debian 11 has CONFIG_BPF_LSM, but bpf is not in its CONFIG_LSM, so programs attach and nothing calls them."""
    notes = {name: by_cell(table)["lsm", name].record.outcome.notes for name in KERNELS}
    assert any("attached, but never called" in note for note in notes["debian-11-5.10"])
    assert not any("never called" in note for note in notes["debian-12-6.1"])


@pytest.mark.slow
def test_what_a_kernel_charges_to_rlimit_memlock_is_told(table):
    """The ring buffer has 256 KiB, and a distribution of 5.10 gives 64."""
    for kernel, version in KERNELS.items():
        told = [note for note in by_cell(table)["unsized", kernel].record.outcome.notes if "RLIMIT_MEMLOCK" in note]
        assert bool(told) == (version < (5, 11)), (kernel, told)
        assert not told or "and a distribution gives 64: its loader has to raise that" in told[0]


@pytest.mark.slow
def test_no_failure_is_of_an_unknown_class(table):
    classes = {target.record.verdict.classification for target in table.targets}
    assert Classification.UNKNOWN not in classes
    assert len(FACTS) >= 40


@pytest.mark.slow
def test_objects_and_their_own_loader_agree_on_every_kernel(run, objects, tmp_path):
    (tmp_path / "loop.yaml").write_text("programs: [{name: require_bpf_loop, load: true}]\n")
    (tmp_path / "multi.yaml").write_text("programs: [{name: require_kprobe_multi, load: true}]\n")
    loader = EXAMPLE / "build" / "loader"
    pairs = {
        "ringbuf": (
            Check("$BPFCOMPAT_BIN --self-test", name="l1", binary=loader),
            tried("ringbuf", objects / "ringbuf.bpf.o"),
        ),
        "loop": (
            Check("$BPFCOMPAT_BIN --require bpf_loop", name="l2", binary=loader),
            tried("loop", objects / "features.bpf.o", tmp_path / "loop.yaml"),
        ),
        "multi": (
            Check("$BPFCOMPAT_BIN --require kprobe.multi", name="l3", binary=loader),
            tried("multi", objects / "features.bpf.o", tmp_path / "multi.yaml"),
        ),
    }
    cells = by_cell(run(*(check for pair in pairs.values() for check in pair)))
    for kernel in KERNELS:
        for command, object_ in pairs.values():
            assert (
                cells[command.name, kernel].record.verdict.status is cells[object_.name, kernel].record.verdict.status
            ), (kernel, object_.name)


ONE_GETPGID = "program_variants: [{group: getpgid, programs: [%s]}]\n"
MANIFESTS = {
    "helper": ("variants", ONE_GETPGID % "{name: with_loop, requires_helper: bpf_loop}, {name: without_loop}"),
    "trial": ("variants", ONE_GETPGID % "{name: with_loop, probe: trial_load}, {name: without_loop}"),
    "none": (
        "variants",
        ONE_GETPGID % "{name: with_loop, probe: trial_load}" + "programs: [{name: without_loop, load: false}]\n",
    ),
    "inner": ("inner", "maps: [{name: buffers, max_entries: cpus, inner_ringbuf_bytes: 65536}]\n"),
    "tail": ("tail_call", "probe_companions: [callee]\n"),
    "told": (
        "attach_kinds",
        "programs:\n"
        "  - {name: without_target, attach: {kind: kprobe, symbol: vfs_open}}\n"
        "  - {name: on_socket, section: socket, type: socket_filter}\n",
    ),
    "optional": ("tracepoint_absent", "programs: [{name: on_absent, attach: {required: false}}]\n"),
}


@pytest.mark.slow
def test_a_manifest_says_what_a_loader_would_do(run, objects, tmp_path):
    checks = []
    for name, (object_, text) in MANIFESTS.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        checks.append(tried(name, objects / f"{object_}.bpf.o", tmp_path / f"{name}.yaml"))
    found = run(
        *checks,
        tried("load-only", objects / "tracepoint_absent.bpf.o", None, "load_only"),
        tried("alone", objects / "several.bpf.o", None, "load_only"),
    )
    for (name, kernel), target in by_cell(found).items():
        verdict, notes = target.record.verdict, target.record.outcome.notes
        none = name == "none" and KERNELS[kernel] < (5, 17)
        assert verdict.status is (Status.FAIL if name == "alone" or none else Status.PASS), (
            name,
            kernel,
            verdict.reason,
        )
        programs = {one["name"]: one for one in target.record.outcome.findings["programs"]}
        if none:
            words = "None of the variants of 'getpgid' can be used on this kernel. 'with_loop'"
            assert verdict.reason.startswith(words)
            assert verdict.classification is VERIFIER
        if name in ("helper", "trial"):
            chosen = "with_loop" if KERNELS[kernel] >= (5, 17) else "without_loop"
            assert [one for one in programs if programs[one]["attach"] == "attached"] == [chosen]
        if name == "told":
            assert programs["without_target"]["attach"] == "attached"
        if name == "optional":
            assert any("which the manifest allows" in note for note in notes)
        if name == "load-only":
            assert programs["on_absent"]["attach"] == "skipped"


@pytest.mark.slow
def test_tests_run_while_the_programs_are_attached(run, objects, tmp_path):
    (tmp_path / "good.yaml").write_text(
        "functional_tests:\n"
        "  - {name: attached, command: 'bpftool prog show name on_packet; ip -d link show dev bpfcompat0', "
        "expect_stdout_contains: xdp}\n"
        "  - {name: seven, command: 'echo no >&2; exit 7', expect_exit_code: 7, expect_stderr_contains: 'no'}\n"
    )
    (tmp_path / "bad.yaml").write_text(
        "functional_tests:\n"
        "  - {name: ignored, command: 'false', required: false}\n"
        "  - {name: wanted, command: 'echo out; kill -9 $$', expect_stdout_contains: out}\n"
    )
    (tmp_path / "slow.yaml").write_text("functional_tests: [{name: slow, command: sleep 60, timeout: 1s}]\n")
    (tmp_path / "silent.yaml").write_text("functional_tests: [{name: s, command: 'true', expect_stdout_contains: x}]\n")
    checks = [tried(name, objects / "xdp.bpf.o", tmp_path / f"{name}.yaml") for name in ("bad", "slow", "silent")]
    found = run(tried("good", objects / "attach_kinds.bpf.o", tmp_path / "good.yaml"), *checks)
    for (name, _), target in by_cell(found).items():
        verdict = target.record.verdict
        if name == "good":
            assert verdict.status is Status.PASS, verdict.reason
            continue
        assert verdict.classification is Classification.FUNCTIONAL_TEST_FAILURE
        words = {"bad": "'wanted' exited 137", "slow": "was still running after 1 s", "silent": "did not print 'x'"}
        assert words[name] in verdict.reason
        assert verdict.timed_out is (name == "slow")
    report = document.render(found, {"json": "x"})
    row = next(row for row in report["targets"] if row["check"] == "bad")
    assert [(test["name"], test["status"], test["exit_code"]) for test in row["functional"]["tests"]] == [
        ("ignored", "fail", 1),
        ("wanted", "fail", 137),
    ]
    assert row["functional"]["status"] == "fail"
    # A test that was too slow once may not be so again.
    stored = {path.stem for path in (tmp_path / ".bpfcompat" / "verdicts").glob("*/*.json")}
    assert not stored & {target.record.key for (name, _), target in by_cell(found).items() if name == "slow"}


def test_a_manifest_says_which_profiles_count(run, objects, tmp_path):
    (tmp_path / "m.yaml").write_text("required_profiles: [debian-13-6.12]\n")
    found = run(tried("loop", objects / "loop.bpf.o", tmp_path / "m.yaml"))
    from bpfcompat.report import gate

    assert by_cell(found)["loop", "debian-11-5.10"].record.verdict.status is Status.FAIL
    assert gate.summarize(found).status is Status.PASS


@pytest.mark.slow
def test_a_locked_down_kernel_denies_and_is_not_called_incapable(run, objects, four):
    locked = replace(four.profiles[1], cmdline="lockdown=confidentiality")
    (target,) = run(tried("x", objects / "attach_kinds.bpf.o"), profiles=Matrix((locked,))).targets
    verdict = target.record.verdict
    assert verdict.classification is Classification.POLICY_DENIED, verdict.reason
    assert "it is locked down (confidentiality)" in verdict.reason


@pytest.mark.slow
def test_a_helper_that_a_locked_down_kernel_refuses_is_named_as_the_object_calls_it(run, objects, four):
    """The verifier speaks of bpf_probe_read, which libbpf puts in the place of bpf_probe_read_kernel there."""
    locked = tuple(replace(profile, cmdline="lockdown=confidentiality") for profile in four.profiles)
    for target in run(tried("x", objects / "reads_kernel.bpf.o"), profiles=Matrix(locked)).targets:
        verdict = target.record.verdict
        assert verdict.classification is Classification.POLICY_DENIED, verdict.reason
        assert "it calls bpf_probe_read_kernel, which is refused because the kernel is locked down" in verdict.reason


@pytest.mark.slow
def test_a_module_is_loaded_before_the_object_and_the_command(run, objects, tmp_path, four):
    (tmp_path / "m.yaml").write_text("guest: {modules: [bridge]}\n")
    fentry = tried("fentry", objects / "module_fentry.bpf.o", tmp_path / "m.yaml")
    kprobe = replace(tried("kprobe", objects / "module_kprobe.bpf.o"), guest_modules=("bridge",))
    command = Check("grep ^bridge /proc/modules", name="command", guest_modules=("bridge",))
    absent = Check("true", name="absent", guest_modules=("no_such_module",))
    for (name, kernel), target in by_cell(run(fentry, kprobe, command, absent)).items():
        verdict = target.record.verdict
        if name == "fentry" and KERNELS[kernel] < (5, 11):
            assert "br_forward is in the module bridge, which has no BTF" in verdict.reason
            continue
        if name == "absent":
            assert (verdict.status, verdict.classification) == (Status.INFRA_ERROR, Classification.STAGING_FAILURE)
            assert "the module no_such_module cannot be loaded on this kernel" in verdict.reason
            continue
        assert verdict.status is Status.PASS, (name, kernel, verdict.reason)


@pytest.mark.slow
def test_more_memory_is_named_where_the_guest_has_not_enough(table):
    rows = {(row["check"], row["profile_id"]): row for row in document.render(table, {"json": "x"})["targets"]}
    for kernel in KERNELS:
        (hint,) = rows["map_too_large", kernel]["hints"]
        assert "`memory: 2G`" in hint
        assert rows["map_too_many_bytes", kernel]["hints"] == []


def test_truncated_objects_are_refused_before_any_boot_or_have_a_clean_class(objects, run, tmp_path, four):
    whole, dice = (objects / "attach_kinds.bpf.o").read_bytes(), random.Random(6)
    checks = []
    for number, at in enumerate(dice.sample(range(len(whole)), 50)):
        (tmp_path / f"{number}.bpf.o").write_bytes(whole[:at])
        checks.append(tried(f"c{number}", tmp_path / f"{number}.bpf.o"))
    found = run(*checks, profiles=Matrix(four.profiles[1:2]))
    for target in found.targets:
        verdict = target.record.verdict
        assert verdict.classification is Classification.LOADER_NOT_RUNNABLE, verdict.reason
        assert "can be loaded into no kernel: it " in verdict.reason
        assert target.record.qemu_command == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"#!/bin/sh\n", "is not an ELF file"),
        (b"\x7fELF", "is not a whole little-endian object file"),
        (Path("/bin/true").read_bytes(), "is made for another machine (e_machine 62), not for BPF"),
    ],
)
def test_what_is_no_object_is_one_sentence(run, tmp_path, four, content, words):
    (tmp_path / "x.bpf.o").write_bytes(content)
    (target,) = run(tried("x", tmp_path / "x.bpf.o"), profiles=Matrix(four.profiles[:1])).targets
    assert target.record.verdict.classification is Classification.LOADER_NOT_RUNNABLE
    assert words in target.record.verdict.reason
    assert target.record.qemu_command == ""


@pytest.mark.parametrize(
    ("flags", "section", "words"),
    [(["-g"], "maps", "declare its maps in SEC"), ([], ".maps", "compile it with -g")],
)
def test_what_libbpf_does_not_open_comes_with_how_to_mend_it(tmp_path, flags, section, words):
    from bpfcompat.errors import NoVerdict
    from bpfcompat.guest import validator

    (tmp_path / "x.bpf.c").write_text(
        f'__attribute__((section("{section}"), used)) struct {{ unsigned type, key, value, entries; }} m = {{ 2, 4, 4, 1 }};\n'
        '__attribute__((section("socket"), used)) int x(void *c) { return 0; }\n'
    )
    subprocess.run(
        ["clang", "-O2", *flags, "-target", "bpf", "-c", "x.bpf.c", "-o", "x.bpf.o"], cwd=tmp_path, check=True
    )
    path = tmp_path / "x.bpf.o"
    with pytest.raises(NoVerdict, match=f"cannot be opened by libbpf(.|\n)*{words}"):
        validator.check_object(path, path, manifest.load(None, None)[0], KIT.validator)


def test_a_gigabyte_of_zeros_is_not_even_read(tmp_path):
    with (tmp_path / "x.bpf.o").open("wb") as file:
        file.truncate(1 << 30)
    from bpfcompat.errors import NoVerdict

    with pytest.raises(NoVerdict, match="is not an ELF file"):
        payload.measure(tried("x", tmp_path / "x.bpf.o"), Path("/bin/true"))


def test_names_that_the_object_does_not_have_are_refused_before_any_boot(objects, tmp_path):
    from bpfcompat.errors import BpfcompatError
    from bpfcompat.guest import validator

    program = KIT.validator

    def check(text, words, name="several"):
        (tmp_path / "m.yaml").write_text(text)
        path = objects / f"{name}.bpf.o"
        with pytest.raises(BpfcompatError, match=words):
            validator.check_object(path, path, manifest.load(tmp_path / "m.yaml", None)[0], program)

    check("programs: [{name: frist}]\n", "a program 'frist'.*\n.*did you mean 'first'")
    check("maps: [{name: m}]\n", "a map 'm'.*\n.*it has: none")
    check("probe_companions: [x]\n", "a program 'x'")
    check("program_variants: [{group: g, programs: [{name: y}]}]\n", "a program 'y'")
    check("programs: [{name: first, section: kprobe/x}]\n", "is in the section 'kprobe/x', and in .* 'tracepoint/")


def test_a_project_mixes_commands_and_objects(tmp_path, objects):
    (tmp_path / "bpfcompat.yaml").write_text(
        "checks:\n"
        "  - {name: kernel, command: uname -r}\n"
        f"  - {{name: object, artifact: {objects}/several.bpf.o, validation_mode: load_only}}\n"
        "matrix: [{id: a, kernel: 'apt:bookworm/linux-image-cloud-amd64'}]\n"
    )
    ended = subprocess.run(
        ["bpfcompat", "run", "--junit", "j.xml", "--html", "p.html", "--markdown", "m.md"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    report = json.loads((tmp_path / ".bpfcompat" / "report.json").read_text())
    assert [(row["check"], row["status"]) for row in report["targets"]] == [("kernel", "pass"), ("object", "fail")]
    for name in ("j.xml", "p.html", "m.md"):
        assert "VERIFIER_REJECTION" in (tmp_path / name).read_text().replace("&#95;", "_")
    again = subprocess.run(["bpfcompat", "run"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "nothing booted" in again.stdout
    explained = subprocess.run(
        ["bpfcompat", "explain", "a/object"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "would not run" in explained.stdout
    other = shutil.copytree(tmp_path, tmp_path.with_name("other"), ignore=shutil.ignore_patterns(".bpfcompat"))
    subprocess.run(["bpfcompat", "cache", "export", other / "v.tar.gz"], cwd=tmp_path, check=True)
    subprocess.run(["bpfcompat", "cache", "import", "v.tar.gz"], cwd=other, check=True)
    taken = subprocess.run(["bpfcompat", "run"], cwd=other, capture_output=True, text=True, check=False)
    assert taken.returncode == 2
    assert "nothing booted" in taken.stdout

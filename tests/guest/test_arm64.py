"""Guests of arm64: the same as those of this machine's own architecture, but for what an architecture is."""

import subprocess
from dataclasses import replace

import pytest

from bpfcompat import architecture
from bpfcompat.guest import kit
from bpfcompat.guest.kit import build
from bpfcompat.kernels import features
from bpfcompat.model import Check, Matrix, Profile, Project
from bpfcompat.outcome import Classification, OutcomeKind, Status
from bpfcompat.project import load_project
from bpfcompat.system import host
from bpfcompat.verdict import hints
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

from .conftest import ARM64, KERNELS
from .test_objects import FACTS, NEVER, Fact, tried
from .test_outcomes import DEATHS
from .test_warm import (
    DAMAGES,
    image_of,
    is_made_anew_with_one_line,
    restored_guests_share_nothing,
    warm_records_that_cold_boots_confirm,
)

pytestmark = pytest.mark.slow

CACHE = host.cache_folder()
OLDEST, NEWEST = ARM64


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Compile a static program for arm64 with the kit's own compiler."""
    made = kit.made(CACHE, print, architecture.ARM64)
    compiler = build.compiler(CACHE, made.architecture)

    def compile_source(source):
        folder = tmp_path_factory.mktemp("arm64")
        (folder / "main.c").write_text(source)
        subprocess.run([compiler, "-static", "-O2", "-o", "loader", "main.c"], cwd=folder, check=True)
        return folder / "loader"

    return compile_source


def test_warm_and_cold_boots_tell_the_same(verdicts, tmp_path):
    for record in warm_records_that_cold_boots_confirm(verdicts, tmp_path, ARM64):
        assert (record.outcome.observed.machine, record.key_parts["architecture"]) == ("aarch64", "aarch64")


def test_two_restored_guests_share_no_random_numbers_and_know_the_time(verdicts):
    restored_guests_share_nothing(verdicts, ARM64)


@pytest.mark.parametrize("damage", ["memory with another byte", "memory lost in a power cut", "state cut off"])
def test_an_image_that_is_not_whole_is_made_anew(verdicts, own_images, damage, capfd):
    is_made_anew_with_one_line(verdicts, OLDEST, image_of(verdicts, own_images, OLDEST), DAMAGES[damage], capfd)


def test_the_tools_of_the_kit_run_there(verdicts):
    command = (
        "set -e; bpftool version; ip link add name a type veth peer name b; tc qdisc show; modinfo veth | head -1; timeout 5 true;"
        " test $(ls /lib/modules) = $(uname -r); bpftool -j feature probe kernel > f; test -s f; zstd --version"
    )
    for record in verdicts(command, kernels=ARM64):
        assert record.verdict.status is Status.PASS, (record.job, record.outcome.stderr.tail)


@pytest.mark.parametrize(("command", "classification"), DEATHS)
def test_a_machine_that_dies_is_told_by_how(verdicts, command, classification):
    (record,) = verdicts(command, kernels=(NEWEST,), options=Options(total_seconds=3600), timeout=3000.0)
    assert (record.verdict.status, record.verdict.classification) == (Status.FAIL, classification)
    assert "a second run ended in the same way" in record.outcome.notes


HOG = """
#include <sched.h>
int main(void)
{
	const struct sched_param highest = { .sched_priority = 99 };

	sched_setscheduler(0, SCHED_FIFO, &highest);
	for (;;)
		;
}
"""


@pytest.mark.parametrize("hangs", ["waits", "keeps init from running"])
def test_a_hang_has_the_tasks_in_the_log_by_init_or_by_a_break_on_the_console(verdicts, tmp_path, compiled, hangs):
    if hangs == "waits":
        command, how = "echo waiting; sleep 1000", {}
    else:
        command = "echo waiting; sleep 0.3; echo -1 > /proc/sys/kernel/sched_rt_runtime_us; exec $BPFCOMPAT_BIN"
        how = {"binary": compiled(HOG)}
    (record,) = verdicts(command, kernels=(NEWEST,), timeout=2.0, **how)
    assert record.verdict.classification is Classification.COMMAND_TIMEOUT, record.verdict.reason
    console = (tmp_path / ".bpfcompat" / record.evidence / "console.log").read_text(errors="replace")
    assert "sysrq: " in console


def test_a_loader_of_the_other_architecture_is_told_before_any_boot(verdicts, compiled):
    loader = compiled("int main(void) { return 7; }\n")
    mine, theirs = verdicts("exec $BPFCOMPAT_BIN", kernels=(KERNELS[1], NEWEST), binary=loader)
    assert (theirs.outcome.kind, theirs.verdict.exit_code) == (OutcomeKind.ENDED, 7)
    assert mine.verdict.classification is Classification.LOADER_NOT_RUNNABLE
    assert "is a program for arm64, and this kernel is for amd64" in mine.verdict.reason


def test_one_matrix_holds_both_and_each_has_its_own_loader(tmp_path, compiled):
    (tmp_path / "busybox-amd64").write_bytes(kit.made(CACHE, print, architecture.host()).busybox.read_bytes())
    (tmp_path / "busybox-arm64").write_bytes(kit.made(CACHE, print, architecture.ARM64).busybox.read_bytes())
    (tmp_path / "bpfcompat.yaml").write_text(
        "command: exec $BPFCOMPAT_BIN uname -m\nbinary: {amd64: busybox-amd64, arm64: busybox-arm64}\nmatrix:\n"
        "- {id: mine, kernel: apt:bookworm/linux-image-cloud-amd64}\n"
        "- {id: theirs, kernel: apt:trixie-backports/linux-image-cloud-arm64}\n"
    )
    session = Session(load_project(tmp_path), Options())
    try:
        run = engine.run(session)
    finally:
        session.close()
    assert [one.record.outcome.stdout.tail for one in run.targets] == ["x86_64", "aarch64"]
    assert len({one.record.key_parts["kit"] for one in run.targets}) == 2


def test_its_types_are_read_without_a_boot(profiles):
    from bpfcompat import kernels

    for name in ARM64:
        offered = features.of(kernels.fetch(profiles[name], CACHE))
        assert offered is not None, name
        assert 27 in offered.map_types, "ring buffers, Linux 5.8"
        assert offered.charges_memlock == (name == OLDEST)


def test_a_kernel_of_the_other_architecture_is_refused_by_name(tmp_path, profiles):
    from bpfcompat import kernels

    image = kernels.fetch(profiles[NEWEST], CACHE).image
    profile = Profile("a", f"path:{image}", arch="amd64")
    session = Session(Project((Check("true"),), Matrix((profile,)), tmp_path / ".bpfcompat"), Options())
    try:
        (target,) = engine.run(session).targets
    finally:
        session.close()
    assert target.record.verdict.classification is Classification.KERNEL_UNAVAILABLE
    assert "is a kernel for arm64, and the profile is of amd64" in target.record.verdict.reason


SAME = (
    "bloom", "core_absent", "iter_link", "kconfig", "kfunc_weak", "kprobe_absent", "kprobe_multi", "kprobe_notrace", "loop", "map_unknown",
    "module_fentry", "netfilter", "override_return", "rejected", "ringbuf", "struct_ops", "tcx", "timer", "tracepoint_absent", "xdp",
)  # fmt: skip
"""Objects that arm64 takes since the same releases, and refuses with the same words."""
ATTACH = Classification.UNSUPPORTED_ATTACH_TYPE
NO_TRAMPOLINES = "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS is not set in this build, which fentry, fexit, fmod_ret and LSM programs need"
OTHER_NAME = "there is no __x64_sys_getpgid: on arm64 that system call is __arm64_sys_getpgid."
OWN = {
    "fentry_many": {OLDEST: Fact(NEVER, ATTACH, NO_TRAMPOLINES), NEWEST: Fact((6, 6))},
    "lsm": {OLDEST: Fact(NEVER, ATTACH, NO_TRAMPOLINES), NEWEST: Fact((6, 4))},
    "fmod_ret": dict.fromkeys(ARM64, Fact(NEVER, ATTACH, OTHER_NAME)),
}
"""Trampolines came to arm64 with 6.0, and what attaches them to functions with 6.4."""


def test_objects_fare_as_upstream_s_history_of_arm64_says(tmp_path, profiles, objects):
    checks = tuple(tried(name, objects / f"{name}.bpf.o") for name in (*SAME, *OWN))
    chosen = Matrix(tuple(profiles[name] for name in ARM64))
    session = Session(Project(checks, chosen, tmp_path / ".bpfcompat"), Options())
    try:
        run = engine.run(session)
    finally:
        session.close()
    for target in run.targets:
        name, kernel = target.job.check.name, target.job.profile.id
        fact, verdict = OWN.get(name, {}).get(kernel, FACTS[name]), target.record.verdict
        takes = {OLDEST: (5, 10), NEWEST: (7, 3)}[kernel] >= fact.since
        assert verdict.status is (Status.PASS if takes else Status.FAIL), (name, kernel, verdict.reason)
        if not takes:
            assert (verdict.classification, fact.words in verdict.reason) == (fact.classification, True), verdict.reason


def test_a_probe_by_another_architecture_s_name_is_hinted_at(verdicts):
    said = "libbpf: prog 'x': failed to create kprobe '__x64_sys_getpid+0x0' perf event: No such file or directory"
    (record,) = verdicts(f'echo "{said}" >&2; exit 1', kernels=(NEWEST,))
    assert any("on arm64 it is __arm64_sys_getpid" in hint for hint in hints.of(record))
    other = replace(record, key_parts={**record.key_parts, "architecture": "x86_64"})
    assert not any("of another architecture" in hint for hint in hints.of(other))

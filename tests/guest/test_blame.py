"""What is not the kernel's is not told of the kernel: memory, limits, words of its command line, what an emulated machine lacks."""

import subprocess

import pytest

from bpfcompat.model import Check, Matrix, Project
from bpfcompat.outcome import Classification, Status
from bpfcompat.project import manifest
from bpfcompat.verdict import hints
from bpfcompat.workflow import engine
from bpfcompat.workflow.session import Options, Session

from .conftest import KERNELS

pytestmark = pytest.mark.slow

LOADS = r"""
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
/* Loads as many programs as are asked for and keeps them: each takes a page of what RLIMIT_MEMLOCK lets it have before 5.11. */
int main(int count, char **arguments)
{
	const struct bpf_insn nothing[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT } };
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	union bpf_attr attr;

	if (count > 2)
		setrlimit(RLIMIT_MEMLOCK, &unlimited);
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (uintptr_t)nothing;
	attr.insn_cnt = 2;
	attr.license = (uintptr_t)"GPL";
	for (int i = 0; i < atoi(arguments[1]); i++)
		if (syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)) < 0) {
			perror("bpf");
			return 1;
		}
	return 0;
}
"""
COUNTS = r"""
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE, .size = sizeof(attr), .config = PERF_COUNT_HW_CPU_CYCLES };

	if (syscall(__NR_perf_event_open, &attr, 0, -1, -1, 0) < 0) {
		perror("perf_event_open");
		return 1;
	}
	return 0;
}
"""


KILLS = "echo f >/proc/sysrq-trigger"
"""The kernel kills a process as if it had no memory left, and counts and logs that alike."""


@pytest.fixture
def compiled(tmp_path):
    def compiled(name, source):
        (tmp_path / f"{name}.c").write_text(source)
        subprocess.run(["gcc", "-O2", "-static", "-o", name, f"{name}.c"], cwd=tmp_path, check=True)
        return tmp_path / name

    return compiled


def test_a_pass_that_depends_on_unlimited_locked_memory_is_noted(verdicts, compiled):
    """64 KiB are sixteen programs on a kernel that charges them (before 5.11); who raises the limit depends on nothing."""
    loads, words = compiled("loads", LOADS), "it passes because a guest may lock memory without bounds; with the 64 KiB"
    for kernel in KERNELS:
        many, few, raised, nothing = verdicts(
            "$BPFCOMPAT_BIN 40", "$BPFCOMPAT_BIN 1", "$BPFCOMPAT_BIN 40 raise", "true", kernels=(kernel,), binary=loads
        )
        noted = [any(words in note for note in one.outcome.notes) for one in (many, few, raised, nothing)]
        assert noted == [kernel == KERNELS[0], False, False, False]
        assert {one.verdict.status for one in (many, few, raised, nothing)} == {Status.PASS}
    (asked,) = verdicts("$BPFCOMPAT_BIN 40", kernels=KERNELS[:1], binary=loads, machine={"limits": "distribution"})
    assert asked.verdict.status is Status.FAIL
    assert asked.outcome.stderr.tail == "bpf: Operation not permitted"


def test_words_that_a_kernel_does_not_know_are_a_note_beside_a_command(verdicts):
    """Kernels say so since 5.14 (86d1919a4fb0)."""
    for kernel in KERNELS:
        (record,) = verdicts("true", kernels=(kernel,), machine={"cmdline": "lockdwn=integrity quiet"})
        told = [note for note in record.outcome.notes if "does not know these words" in note]
        assert told == (
            []
            if kernel == KERNELS[0]
            else ["the kernel does not know these words of its command line: lockdwn=integrity"]
        )


def test_what_the_machine_lacks_is_the_machine_s(verdicts, compiled):
    for record in verdicts("$BPFCOMPAT_BIN", kernels=KERNELS, binary=compiled("counts", COUNTS)):
        if record.accelerator != "tcg":
            continue  # a real processor has counters
        assert record.verdict.status is Status.FAIL
        assert any("An emulated machine has no hardware performance counters" in hint for hint in hints.of(record))
    full, killed = verdicts("dd if=/dev/zero of=/tmp/x bs=1M count=600", f"{KILLS}; sleep 30", kernels=KERNELS[1:2])
    assert full.outcome.out_of_memory is None
    assert any(
        "its files are in its memory, of which it has 512 MiB; write `memory: 2G`" in hint for hint in hints.of(full)
    )
    assert " The guest ran out of memory, and its kernel killed '" in killed.verdict.reason
    assert any("write `memory: 2G` or more in the profile" in hint for hint in hints.of(killed))


def test_a_validator_that_is_killed_for_want_of_memory_says_nothing_of_the_kernel(tmp_path, profiles):
    """The kernel kills the largest process, which is the validator: the test itself is exempt."""
    (tmp_path / "x.bpf.c").write_text(
        '__attribute__((section("license"), used)) char LICENSE[] = "GPL";\n'
        '__attribute__((section("tracepoint/syscalls/sys_enter_getpgid"), used)) int x(void *c) { return 0; }\n'
    )
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-c", "x.bpf.c", "-o", "x.bpf.o"], cwd=tmp_path, check=True)
    (tmp_path / "m.yaml").write_text(
        "functional_tests:\n"
        f"  - {{name: kills, command: 'echo -1000 >/proc/self/oom_score_adj; {KILLS}; sleep 30', timeout: 60s}}\n"
    )
    validation, _ = manifest.load(tmp_path / "m.yaml", None)
    check = Check(manifest.command(validation), artifact=tmp_path / "x.bpf.o", validation=validation)
    chosen = Matrix(tuple(profiles[name] for name in KERNELS))
    session = Session(Project((check,), chosen, tmp_path / ".bpfcompat"), Options())
    try:
        found = engine.run(session)
    finally:
        session.close()
    for target in found.targets:
        verdict = target.record.verdict
        assert (verdict.status, verdict.classification) == (Status.FAIL, Classification.RESOURCE_LIMIT), verdict.reason
        assert verdict.reason.startswith(
            "The object was not tried to its end. The guest ran out of memory, and its kernel killed '"
        )
        assert any("write `memory: 2G` or more in the profile" in hint for hint in hints.of(target.record))

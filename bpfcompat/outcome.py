"""The words of the tool as frozen data: what happened, and what it means. What was asked is in `model`."""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import Any

from bpfcompat.dataclass import dataclass
from bpfcompat.model import Features, Job, Payload, Project

COLLECTED = "collected"
"""The folder beside the logs that holds what came out of a guest."""


class Status(str, Enum):
    """A verdict's three values; `infra_error` means that there is no verdict."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INFRA_ERROR = "infra_error"


class Classification(str, Enum):
    """Why a job did not pass."""

    COMMAND_VALIDATION_FAILURE = "COMMAND_VALIDATION_FAILURE"
    UNSUPPORTED_ATTACH_TYPE = "UNSUPPORTED_ATTACH_TYPE"
    UNSUPPORTED_MAP_TYPE = "UNSUPPORTED_MAP_TYPE"
    UNSUPPORTED_PROGRAM_TYPE = "UNSUPPORTED_PROGRAM_TYPE"
    CORE_RELOCATION_FAILURE = "CORE_RELOCATION_FAILURE"
    MISSING_BTF = "MISSING_BTF"
    POLICY_DENIED = "POLICY_DENIED"
    CAPABILITY_FAILURE = "CAPABILITY_FAILURE"
    VERIFIER_REJECTION = "VERIFIER_REJECTION"
    RESOURCE_LIMIT = "RESOURCE_LIMIT"
    LIBBPF_FAILURE = "LIBBPF_FAILURE"
    FUNCTIONAL_TEST_FAILURE = "FUNCTIONAL_TEST_FAILURE"
    UNKNOWN = "UNKNOWN"
    LOADER_NOT_RUNNABLE = "LOADER_NOT_RUNNABLE"
    READY_NOT_SEEN = "READY_NOT_SEEN"
    ENDED_BEFORE_READY = "ENDED_BEFORE_READY"
    ENDED_BEFORE_SIGNAL = "ENDED_BEFORE_SIGNAL"
    IGNORED_SIGNAL = "IGNORED_SIGNAL"
    KERNEL_PANIC = "KERNEL_PANIC"
    KERNEL_TAINTED = "KERNEL_TAINTED"
    COMMAND_TIMEOUT = "COMMAND_TIMEOUT"
    GUEST_LOST = "GUEST_LOST"
    FLAKY = "FLAKY"
    BOOT_FAILURE = "BOOT_FAILURE"
    KERNEL_UNAVAILABLE = "KERNEL_UNAVAILABLE"
    STAGING_FAILURE = "STAGING_FAILURE"
    HOST_FAILURE = "HOST_FAILURE"
    HOST_OVERLOADED = "HOST_OVERLOADED"
    INTERRUPTED = "INTERRUPTED"


class OutcomeKind(str, Enum):
    """What happened in the guest, before anybody says what it means."""

    ENDED = "ended"
    PANIC = "panic"
    TIMEOUT = "timeout"
    LOST = "lost"
    NO_VERDICT = "no_verdict"


@dataclass(frozen=True)
class Stream:
    """One of the command's streams as far as it was kept."""

    total: int = 0
    """Bytes that the command wrote."""
    kept: int = 0
    """Bytes of them in the evidence: all, or the beginning and the end."""
    tail: str = ""

    @property
    def truncated(self) -> bool:
        return self.kept < self.total


@dataclass(frozen=True)
class Collected:
    """A file that came out of the guest."""

    path: str
    """Below the working directory there, and below COLLECTED beside the logs."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Observed:
    """What the guest said about itself (uname)."""

    release: str
    machine: str
    version: str


@dataclass(frozen=True)
class Readiness:
    """What became of a command that does not end by itself."""

    seen: float | None = None
    """Seconds until its sign came; None if it did not."""
    meanwhile: int | None = None
    """How what ran meanwhile ended, as waitpid(2) gave it; None if nothing did."""
    signalled: bool = False


@dataclass(frozen=True)
class TestResult:
    """One test of those that a command runs."""

    __test__ = False  # pytest takes its name for a test's

    name: str
    status: str
    """pass, fail or skipped."""
    seconds: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Taint:
    """What had tainted a guest's kernel (/proc/sys/kernel/tainted), bit by bit."""

    before: int
    """When the command began."""
    after: int
    """When it ended."""


@dataclass(frozen=True)
class Counted:
    """What a guest's kernel counts and says beside the command."""

    memory_kills: int
    """Processes that it killed for want of memory while the command ran; -1 where it does not count them."""
    charges_programs: bool
    """It charges BPF memory to RLIMIT_MEMLOCK, as before Linux 5.11, and programs were loaded."""
    usual_memlock_kib: int
    """What it lets its first process lock, and a distribution hands on."""
    unknown_words: str = ""
    """Words of its command line that it does not know, as far as it says that (Linux 5.14)."""


@dataclass(frozen=True)
class Outcome:
    """What happened to one job, raw."""

    kind: OutcomeKind
    reason: str = ""
    """What went wrong, for every kind but ENDED."""
    classification: Classification | None = None
    """The class of a NO_VERDICT."""
    observed: Observed | None = None
    wait_status: int | None = None
    """As waitpid(2) gave it in the guest."""
    command_seconds: float | None = None
    limit_seconds: float | None = None
    """The command's, if it began."""
    max_rss_kib: int | None = None
    out_of_memory: str | None = None
    """What the kernel killed for want of memory, by its log; a process, where it counts one and its log names none."""
    results: tuple[TestResult, ...] = ()
    """What the command told of its tests; it decides nothing."""
    readiness: Readiness | None = None
    """Of a command that does not end by itself."""
    taint: Taint | None = None
    """None if the kernel does not tell it, or did not come to."""
    splat: str = ""
    """What the kernel said about what tainted it first; empty if nothing did, or it said nothing."""
    counted: Counted | None = None
    """What the guest's kernel counted meanwhile; None if nobody could tell."""
    stdout: Stream = Stream()
    stderr: Stream = Stream()
    kernel_log: str = ""
    """The last of what the kernel said since the command began, or of its whole boot if it never did."""
    asked: dict[str, Any] | None = None
    """What the loader's own objects ask of the kernel, where a refusal does not tell it (verdict/asked.py)."""
    mismatches: tuple[str, ...] = ()
    """Sentences about the expectation's patterns that did not hold."""
    collected: tuple[Collected, ...] = ()
    """In the order of their paths."""
    findings: dict[str, Any] | None = None
    """What the validator found, as it says it (guest/validator/)."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What an outcome means."""

    status: Status
    classification: Classification | None = None
    reason: str = ""
    failed_stage: str | None = None
    """command, load, attach, functional, or infra."""
    exit_code: int | None = None
    """As a shell would show it: 128 + N for signal N."""
    signal: str | None = None
    core_dumped: bool = False
    timed_out: bool = False
    confidence: str = "high"
    """How sure the classification is: high, medium or low."""


@dataclass(frozen=True)
class Record:
    """A verdict with its evidence, as stored and reported."""

    job: str
    key: str
    """Content address of all that shaped the verdict; empty if it was never known."""
    key_parts: dict[str, Any]
    verdict: Verdict
    outcome: Outcome
    started_at: str
    finished_at: str
    seconds: float
    """From the start of the job to its verdict, boot included."""
    run_id: str
    kernel: dict[str, str] = field(default_factory=dict)
    """source, version, image_sha256 and modules_sha256 of what was booted."""
    accelerator: str = ""
    boot: str = ""
    qemu: str = ""
    qemu_command: str = ""
    evidence: str | None = None
    """Folder of console.log, stdout.log and stderr.log, relative to the work directory."""
    worker: str = ""
    """Which machine of a cluster ran it; empty for the one that the run was started on."""
    imported_from: str = ""
    """Who found it out, if it was not this work directory."""
    cached: bool = False


@dataclass(frozen=True)
class Target:
    """One row of a run: a job and what became of it."""

    job: Job
    record: Record


@dataclass(frozen=True)
class Run:
    """Everything that one invocation found out."""

    id: str
    started_at: str
    finished_at: str
    project: Project
    targets: tuple[Target, ...]
    """In the order of the matrix, whatever finished first."""
    payloads: dict[str, Payload]
    """By the name of the check; a check whose files could not be read has none."""
    qemu: str = ""
    accelerator: str = ""
    accelerator_reason: str = ""
    """Why it is not kvm."""
    boot: str = ""
    features: dict[str, Features] = field(default_factory=dict)
    """What kernels offer, by the profile's id, where hints need it."""

"""The words of the tool as frozen data: what is asked, what happened, what it means."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from bpfcompat.validation import Validation

VERSION = "0.1.0"
"""Of this tool; a constant, since to ask pip's records for it takes longer than to read a stored verdict."""


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


DEFAULT_COMMAND_SECONDS = 60.0
"""The limit of a command, where nobody gives one and the machine is not slower than usual."""
COLLECTED = "collected"
"""The folder beside the logs that holds what came out of a guest."""
COLLECT_LIMIT_MIB = 64
"""So much comes out of one job, unless the project says otherwise."""


@dataclass(frozen=True)
class Expectation:
    """What a command must do to pass: its exit code, and regular expressions over its streams."""

    exit: int = 0
    stdout: str | None = None
    stderr: str | None = None
    not_stdout: str | None = None
    not_stderr: str | None = None
    kernel: str | None = None
    """clean: nothing taints the kernel meanwhile; None: that is told, and decides nothing."""


@dataclass(frozen=True)
class Ready:
    """How a command that does not end by itself shows that it is ready, and how it is ended then."""

    stream: str | None = None
    """stdout or stderr, if the sign stands there; else it is a file, or sd_notify's READY=1."""
    pattern: str = ""
    """A regular expression, searched in the stream."""
    file: str | None = None
    """In the guest; relative to the working directory, or absolute."""
    within: float = 20.0
    """Seconds in which the sign must come."""
    signal: str = "INT"
    meanwhile: str | None = None
    """A command that runs once it is ready, and before it gets the signal."""

    def longest(self, seconds: float) -> float:
        """Return how long it may all take where each step may take so many seconds."""
        return self.within + seconds * (2 if self.meanwhile else 1)


@dataclass(frozen=True)
class Profile:
    """One row of a matrix: a kernel and the machine to boot it in."""

    id: str
    kernel: str
    required: bool = True
    expects_failure: bool = False
    """A failure here is known, and does not count."""
    modules: tuple[str, ...] = ()
    """What belongs to the image: a folder, or packages."""
    config: str | None = None
    sha256: tuple[str, ...] = ()
    """What the packages in `kernel` and `modules` must be, in this order; empty if that is not said."""
    keys: tuple[str, ...] = ()
    """Files of OpenPGP keys, one of which must have signed each package."""
    vendor: str = ""
    """The row of the matrix's own `vendors:` that the kernel's name begins with, as JSON; empty for a shipped one."""
    timeout: float | None = None
    """Seconds for the command on this kernel; None means the check's own limit."""
    memory: int = 512
    """MiB of guest memory."""
    cpus: int = 1
    cmdline: str = ""
    guest_modules: tuple[str, ...] = ()
    """Loaded before the command."""
    limits: str | None = None
    """As a project's; None means what the project says."""
    headers: bool = False
    """The guest has the kernel's headers, as modules and bcc look for them."""
    root: Path = Path()
    """The folder that the paths in `kernel`, `modules`, `config` and `keys` are relative to."""
    arch: str = ""
    """Its architecture by name (architecture.py); empty means this machine's."""


@dataclass(frozen=True)
class Matrix:
    """A list of profiles and where it was read from."""

    profiles: tuple[Profile, ...]
    name: str | None = None
    path: Path | None = None


@dataclass(frozen=True)
class Check:
    """A command and the files it needs; where there is a validation, the command is that of the validator."""

    command: str
    name: str = "command"
    binary: Path | None = None
    bundle_libs: bool = False
    """Ship the shared libraries that the binary is linked with."""
    artifact: Path | None = None
    tools: tuple[Path, ...] = ()
    """Programs of this machine that the guest is to have, with their libraries."""
    files: tuple[Path, ...] = ()
    placed: tuple[tuple[Path, str], ...] = ()
    """Files and folders from anywhere, each with its absolute path in the guest."""
    root: Path = Path()
    """The folder that `files` are relative to, and keep their names below."""
    env: tuple[tuple[str, str], ...] = ()
    expect: Expectation = Expectation()
    limits: str = "generous"
    """As the profile, or else the project says; set when a job is run."""
    results: str | None = None
    """In which format the command tells of its tests: go, libtest, tap or junit."""
    results_path: str | None = None
    """In which file below its working directory, one of those that are collected; None: on stdout."""
    ready: Ready | None = None
    """The command does not end by itself."""
    timeout: float | None = None
    """Seconds for the command, boot not counted; of one that does not end by itself, for what comes once it is ready. None
    means what fits this machine, DEFAULT_COMMAND_SECONDS or more."""
    validation: Validation | None = None
    """The artifact is tried by the validator."""
    guest_modules: tuple[str, ...] = ()
    """Kernel modules that are loaded before the command."""
    arch: str = ""
    """Of the guests, by name; empty means this machine's. Set when a job is planned."""
    by_arch: tuple[tuple[str, str, Path], ...] = ()
    """`binary` or `artifact`, architecture, file: what takes the place of either field in guests of that architecture."""
    collect: tuple[str, ...] = ()
    """Patterns below the working directory: what they name comes out of the guest, however the command ends."""
    collect_limit: int = COLLECT_LIMIT_MIB
    """MiB of all that together."""
    required_profiles: tuple[str, ...] = ()
    """Ids of the profiles whose failure counts for this check; none means those that the matrix says."""


@dataclass(frozen=True)
class Shard:
    """One of several runs that share the kernels of a matrix among them."""

    index: int
    """From 1 on."""
    count: int
    plan: str
    """Digest of which kernels each of them has, and of what runs there: shards of one plan belong together."""
    profiles: tuple[str, ...]
    """Ids of the whole matrix, in its order."""


@dataclass(frozen=True)
class Project:
    """A validated bpfcompat.yaml, or the same thing said in flags."""

    checks: tuple[Check, ...]
    matrix: Matrix
    workdir: Path
    redact: bool = False
    retries: int = 0
    """How often a job without a verdict is run again."""
    limits: str = "generous"
    """generous: a command may lock memory without bounds; distribution: as much as the kernel lets its first process."""
    boot: str = "warm"
    """warm: guests are restored from boot images; cold: each boots from its start."""
    accelerator: str = "auto"
    """auto, kvm or tcg."""
    lock: Path | None = None
    """The file that says what the kernels of the matrix were; there may be none yet."""
    rootfs: Path | str | None = None
    """A folder, a tar archive, or `oci:REFERENCE`: the guests' userland instead of bash and busybox."""
    trust_imported: bool = True
    """Verdicts that were found out in other work directories count."""
    store: str | None = None
    """URL of a verdict store that several machines share."""
    shard: Shard | None = None
    """Which part of a larger matrix this one is."""


@dataclass(frozen=True)
class Package:
    """A package that a kernel came out of."""

    name: str
    version: str
    url: str
    """The vendor's own, whatever mirror it was fetched from."""
    sha256: str
    archive: tuple[str, ...] = ()
    """Where it may be when it is not there any more."""


@dataclass(frozen=True)
class Origin:
    """What a vendor's kernel came out of, and what vouched for it."""

    packages: tuple[Package, ...]
    keyring: str


@dataclass(frozen=True)
class Kernel:
    """A kernel in the store: what exactly is booted, and where it came from."""

    source: str
    version: str
    image: Path
    """What is booted: the ELF kernel out of the image that came, or that image itself."""
    image_sha256: str
    """Of the image that came."""
    modules: tuple[Path, ...]
    """Decompressed modules that the guest needs, in the order in which they can be loaded."""
    modules_sha256: str
    """Of all that came with it."""
    release: str = ""
    """As `uname -r` will say it."""
    has_disks: bool = True
    """It can mount disks; if not, all that a guest needs is in its initramfs, and it boots from its start every time."""
    modules_disk: Path | None = None
    """All its modules, as a disk whose root is /lib/modules; None if none came with it."""
    config: Path | None = None
    """What it was built with, if that came with it."""
    config_sha256: str = ""
    headers_disk: Path | None = None
    """Its headers, as a disk (kernels/headers.py); None if the profile does not ask for them."""
    headers_sha256: str = ""
    origin: Origin | None = None
    """Of a vendor's kernel that was fetched here and not locked before."""


@dataclass(frozen=True)
class Features:
    """What a kernel offers to BPF programs, by the numbers of include/uapi/linux/bpf.h."""

    map_types: frozenset[int]
    program_types: frozenset[int]
    attach_types: frozenset[int]
    helpers: frozenset[int]
    charges_memlock: bool
    """BPF memory is charged to RLIMIT_MEMLOCK, as before Linux 5.11."""


@dataclass(frozen=True)
class Shipped:
    """A file of the user's as it stands in the guest."""

    path: str
    """Absolute, in the guest."""
    basename: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Payload:
    """What a check brings into the guest."""

    digest: str
    binary: Shipped | None = None
    artifact: Shipped | None = None
    empty: bool = False
    """There are no files to bring; the disk is there all the same, because machines are saved with it."""
    image: Path | None = None
    """The disk, once it is made."""
    contents: tuple[tuple[str, int, str], ...] = ()
    """Name, mode, and SHA-256 or a link's target of everything in it; what the digest is of."""


@dataclass(frozen=True)
class Job:
    """One check on one profile."""

    check: Check
    profile: Profile
    name: str
    """Unique in its run: the profile's id, with the check's name where there are several."""


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

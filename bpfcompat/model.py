"""The words of the tool as frozen data: what is asked, and of what. What came of it is in `outcome`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bpfcompat.dataclass import dataclass

if TYPE_CHECKING:
    from bpfcompat.validation import Validation

VERSION = "0.1.0"
"""Of this tool; a constant, since to ask pip's records for it takes longer than to read a stored verdict."""


DEFAULT_COMMAND_SECONDS = 60.0
"""The limit of a command, where nobody gives one and the machine is not slower than usual."""
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
class ClusterSettings:
    """Other machines, on which jobs run."""

    address: str
    """Of dask's scheduler."""
    same: bool = False
    """Only workers with the same kit and the same accelerator as the machine that starts the run."""
    tls: Path | None = None
    """The folder of ca.pem, cert.pem and key.pem; None means what dask's own configuration says."""


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
    cluster: ClusterSettings | None = None
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

"""`bpfcompat exec`: one program on one kernel, as if it ran here. No verdict is stored, and doit has no part in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import PAYLOAD_MIB, initramfs, payload, shares
from bpfcompat.model import Profile, Project
from bpfcompat.outcome import COLLECTED, Classification, Outcome, OutcomeKind
from bpfcompat.system import disk as disks
from bpfcompat.system import host, processes, slots
from bpfcompat.vm import bootimage, job
from bpfcompat.workflow import kernel_log
from bpfcompat.workflow.ahead import DISK, EVIDENCE, Ahead, temporary
from bpfcompat.workflow.machines import Machines
from bpfcompat.workflow.readiness import make_ready
from bpfcompat.workflow.userland import Userland

if TYPE_CHECKING:
    from bpfcompat.vm import Machine
    from bpfcompat.vm import machine as guests

NOT_FOUND = 127
NO_VERDICT = 125
TIMED_OUT = 124
_LOG_BYTES = 16384


@dataclass(frozen=True)
class Wanted:
    """What is to run, and how."""

    arguments: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]
    folders: tuple[Path, ...] = ()
    """Shared beside the working directory."""
    input: int | None = None
    """The file descriptor that the program reads; None for nothing."""
    seconds: float = job.FOREVER
    """The program's limit."""
    cold: bool = False
    collect: tuple[str, ...] = ()
    """Patterns, relative to the working directory, of files that come back to their places here."""
    outputs: tuple[Path, ...] = ()
    """Files and folders that come back as well, wherever they are; absolute."""


class ProgramNotFoundError(BpfcompatError):
    """There is no such program, neither here nor in the guest."""


class Programs:
    """Runs programs on the kernels of one project. `run` is called from several threads."""

    def __init__(
        self, project: Project, cache: Path, notice: Callable[[str], None], ahead: Ahead | None = None
    ) -> None:
        """Nothing is read yet.

        notice: called with a line that the user should see at once.
        ahead: of a project with one kernel, its machine may wait there.
        """
        self._cache = cache
        self._notice = notice
        self._machines = Machines(project, cache, offline=False, notice=notice)
        self._lock = threading.Lock()
        self._ahead = ahead or Ahead(cache, None)

    def run(self, wanted: Wanted, profile: Profile, live: guests.Live) -> Outcome:
        """Run a program on a profile's kernel and return what happened.

        live: what takes its stdout and stderr.
        Raises NoVerdict, and BpfcompatError for a mistake of the user's.
        """
        with self._lock:
            machine, images, boot_seconds = make_ready(self._machines, self._cache, profile, warm=not wanted.cold)
        path, brought = self._found(wanted, self._machines.userland(profile.arch))
        image = images.get(profile)
        if not self._ahead.is_for(machine, image):
            self._ahead.drop()
        if image:
            self._ahead.note(machine, image)
        with self._place(profile) as folder:
            return _Run(machine, profile, boot_seconds, image, folder, self._notice, self._ahead).run(
                wanted, path, brought, live, self._machines
            )

    @contextlib.contextmanager
    def _place(self, profile: Profile) -> Iterator[Path]:
        """Hold the place of a machine, and yield a folder for its temporary files."""
        if self._ahead.folder:
            yield self._ahead.folder
            return
        with slots.slot(self._cache / "slots", host.jobs(profile.memory)), temporary(self._cache) as folder:
            (folder / EVIDENCE).mkdir()
            disks.empty(folder / DISK, PAYLOAD_MIB)
            yield folder

    def _found(self, wanted: Wanted, userland: Userland) -> tuple[str, shares.Shares]:
        """Return how the guest finds the program, and what has to be there for it."""
        name = wanted.arguments[0]
        folders = (wanted.directory, *wanted.folders)
        if "/" not in name and userland.kit and name in initramfs.programs(userland.kit):
            return name, shares.find(folders, None, userland.loader_finds())
        found = wanted.directory / name if "/" in name else _in_path(name, wanted.environment)
        if found is None or not found.exists():
            raise ProgramNotFoundError(f"{name} is neither a program of the guest nor one of this machine.")
        found = Path(os.path.normpath(found))
        return str(found), shares.find(folders, found, userland.loader_finds())


def _in_path(name: str, environment: Mapping[str, str]) -> Path | None:
    found = shutil.which(name, path=environment.get("PATH", os.defpath))
    return Path(found).absolute() if found else None


@dataclass
class _Run:
    """One program on one machine."""

    machine: Machine
    profile: Profile
    boot_seconds: float
    image: Path | None
    scratch: Path
    notice: Callable[[str], None]
    ahead: Ahead
    _failure: BaseException | None = field(default=None, init=False)
    _program: job.Program = field(init=False)

    @property
    def evidence(self) -> Path:
        """Where the logs are, and what came out."""
        return self.scratch / EVIDENCE

    def run(self, wanted: Wanted, path: str, brought: shares.Shares, live: guests.Live, machines: Machines) -> Outcome:
        """Stage what the program needs while its machine is restored, run it, and return what happened."""
        disk = self.scratch / DISK
        staging = threading.Thread(target=self._stage, args=(wanted, path, brought, disk), name="bpfcompat-stage")
        staging.start()
        if not self.machine.has_disks:  # then it comes with the initramfs
            staging.join()
            self._raise()
            self.machine = machines.with_payload(self.machine, self.profile, disk, self.scratch / "machine")
        try:
            guest = self.ahead.guest(live) or self._guest(disk, live)
        finally:
            staging.join()
        with guest:
            self._raise()
            guest.begin(job.of_program(self._program), time.monotonic() + self.boot_seconds)
            if wanted.input is not None:
                guest.feed(wanted.input)
            outcome = guest.finish(wanted.seconds, job.FOREVER)
            outcome = replace(outcome, kernel_log=kernel_log.last(self.evidence, guest.console_before, _LOG_BYTES))
        bring_back(outcome, self.evidence / COLLECTED, (wanted.directory, *wanted.outputs))
        return outcome

    def _guest(self, disk: Path, live: guests.Live) -> guests.Guest:
        try:
            return self._restored(self.image, disk, live)
        except NoVerdict as error:
            if self.image is None or processes.interrupted():
                raise
            bootimage.discard(self.image)
            self.notice(f"a boot image could not be used, and is made anew next time: {error.message}")
        return self._restored(None, disk, live)

    def _restored(self, image: Path | None, disk: Path, live: guests.Live) -> guests.Guest:
        deadline = time.monotonic() + self.boot_seconds
        return bootimage.waiting_guest(self.machine, image, disk, self.evidence, deadline, live)

    def _stage(self, wanted: Wanted, path: str, brought: shares.Shares, disk: Path) -> None:
        tree = self.scratch / "tree"
        try:
            tree.mkdir()
            copied = shares.copy(brought, tree, self.notice)
            self._program = job.Program(
                wanted.arguments, path, str(wanted.directory), tuple(wanted.environment.items()), brought.paths,
                copied, _folders(wanted), input=wanted.input is not None, collect=_patterns(wanted),
            )  # fmt: skip
            (tree / "job").write_bytes(job.rest_of_program(self._program))
            payload.write(tree, disk, dated=True)
            shutil.rmtree(tree, ignore_errors=True)
        except Exception as error:  # told by the thread that waits
            self._failure = error

    def _raise(self) -> None:
        if isinstance(self._failure, OSError):
            what = self._failure.filename or "what the program needs"
            raise BpfcompatError(f"{what} cannot be brought along: {self._failure.strerror}.")
        if self._failure:
            raise self._failure


def _folders(wanted: Wanted) -> tuple[str, ...]:
    """Return the folders that the environment speaks of and programs take for granted, and those of outputs."""
    named = (wanted.environment.get(name, "") for name in ("HOME", "TMPDIR"))
    outputs = (str(path if path.is_dir() else path.parent) for path in wanted.outputs)
    return tuple(dict.fromkeys(name for name in (*named, *outputs) if name.startswith("/")))


def _patterns(wanted: Wanted) -> tuple[str, ...]:
    """Return what is to come back, from the root of the guest; what is special in patterns stands for itself in our own paths."""
    below = [f"{_escaped(wanted.directory)}/{text}" for text in wanted.collect]
    return tuple(text.lstrip("/") for text in (*below, *map(_escaped, wanted.outputs)))


def _escaped(path: Path) -> str:
    """Return a pattern that names just this path, in the syntax of fnmatch(3)."""
    return re.sub(r"([\\*?\[])", r"\\\1", str(path))


def bring_back(outcome: Outcome, folder: Path, allowed: Sequence[Path]) -> None:
    """Copy what came out of a guest to where it stands here.

    folder: what came out, by its path in the guest.
    allowed: what may be written here; a guest could name any path.
    Raises BpfcompatError for a place that is none of these, and for one that cannot be written.
    """
    for one in outcome.collected:
        target = Path("/", one.path)
        place = target.parent.resolve() / target.name
        if not any(place == path.resolve() or place.is_relative_to(path.resolve()) for path in allowed):
            raise BpfcompatError(f"the guest handed out {target}, which leads to {place}: that was not asked for.")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            shutil.copy(folder / one.path, place)
        except OSError as error:
            raise BpfcompatError(f"{target} came out of the guest and cannot be written: {error.strerror}.") from error


def exit_code(outcome: Outcome) -> int:
    """Return the exit code that tells what became of a program: its own, 128 + N for signal N, 124, or 125."""
    if outcome.kind is OutcomeKind.TIMEOUT:
        return TIMED_OUT
    if outcome.kind is not OutcomeKind.ENDED or outcome.wait_status is None:
        return processes.INTERRUPTED_STATUS if outcome.classification is Classification.INTERRUPTED else NO_VERDICT
    return processes.exit_code(outcome.wait_status)

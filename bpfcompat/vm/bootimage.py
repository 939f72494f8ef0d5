"""Boot images: a guest that waits for its job, saved once, and restored as a private copy for every run.

The guest's memory is a file. While a guest is saved it shares that file, so the saved state holds devices only (0.3 MB);
a restored one maps it copy-on-write, so nothing is read that is not touched. This needs no KVM and no snapshot disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import PAYLOAD_MIB, PROTOCOL
from bpfcompat.outcome import Classification
from bpfcompat.system import atomic, digest, disk, host, processes
from bpfcompat.vm import qemu
from bpfcompat.vm.qmp import Command, Monitor, MonitorError

if TYPE_CHECKING:
    from bpfcompat.vm.console import Live
    from bpfcompat.vm.emulator import Emulator
    from bpfcompat.vm.machine import Guest

FORMAT = 3
_RESTORE_SECONDS = 10.0
_CAPABILITIES = [{"capability": "x-ignore-shared", "state": True}]


def identity(machine: qemu.Machine, contents: dict[str, str]) -> str:
    """Return what a boot image is known by: everything that shaped it.

    contents: digests of the files that the machine has, by what they are.
    """
    disks = tuple((name, Path(name)) for name, _ in machine.disks)
    neutral = replace(machine, image=Path("kernel"), initramfs=Path("initramfs"), disks=disks)
    memory = qemu.Memory(Path("ram"), saving=True)
    return digest.of_json({
        "format": FORMAT, "protocol": PROTOCOL, "contents": contents, "disk": PAYLOAD_MIB,
        "arguments": qemu.argv(neutral, range(len(qemu.SERIAL_PORTS)), 4, Path("payload"), memory, 5),
        "qemu": [host.qemu_version(machine.board.program), host.stamp(Path(machine.binary))],
        "processor": host.processor() if machine.accelerator == "kvm" else None,
    })  # fmt: skip


def folder(cache: Path) -> Path:
    """Return where the boot images of a cache are."""
    return cache / "bootimages"


# ---- trust ----


def is_whole(image: Path) -> bool:
    """Tell whether an image is exactly what was saved; what cannot be told from its file's stamps is read and hashed.

    A power cut can leave a file without its content, and a copied cache has other stamps: both are hashed once.
    """
    try:
        described = json.loads((image / "image.json").read_bytes())
        # QEMU opens the memory for writing, though it writes to its own copy only.
        if not os.access(image / "ram", os.R_OK | os.W_OK):
            return False
        if described["stamps"] == _stamps(image):
            return True
        if described["ram"] != digest.of_sparse_file(image / "ram") or not (image / "state").is_file():
            return False
        atomic.write_json(image / "image.json", {**described, "stamps": _stamps(image)})
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _stamps(image: Path) -> list[Any]:
    status = (image / "ram").stat()
    return [host.boot_id(), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def discard(image: Path) -> None:
    """Drop an image, whole or not."""
    shutil.rmtree(image, ignore_errors=True)


# ---- saving ----


def save(machine: qemu.Machine, image: Path, name: str, seconds: float) -> float | None:
    """Boot a machine until it waits for its job, save it, restore it once to see that it lives, and only then keep it.

    name: what a user knows it by.
    seconds: for the boot.
    Return how long that took; None if somebody else did it meanwhile. Raises NoVerdict (BOOT_FAILURE, HOST_FAILURE).
    """
    try:
        with atomic.locked(image.with_suffix(".lock")):
            if is_whole(image):
                return None  # by somebody else, meanwhile
            discard(image)
            with atomic.folder(image) as fresh:
                return _save(machine, fresh, name, time.monotonic() + seconds)
    except OSError as error:
        raise NoVerdict(Classification.HOST_FAILURE, f"the boot image cannot be written: {error.strerror}.") from error


def _save(machine: qemu.Machine, image: Path, name: str, deadline: float) -> float:
    from bpfcompat.vm.machine import start

    payload = image / "disk"
    disk.empty(payload, PAYLOAD_MIB)
    started = time.monotonic()
    with start(machine, payload, image, qemu.Memory(image / "ram", saving=True)) as guest:
        guest.wait_ready(deadline)
        booted = time.monotonic() - started
        guest.settle(deadline)
        with _told(guest):
            state = _state_of(guest.monitor(_RESTORE_SECONDS))
    (image / "state").write_bytes(state)
    try:
        processes.check(["fallocate", "--dig-holes", str(image / "ram")], doing="digging holes into the boot image")
    except BpfcompatError as error:
        raise NoVerdict(Classification.HOST_FAILURE, error.message, error.hint) from error
    described = {"name": name, "state": digest.of_bytes(state), "ram": digest.of_sparse_file(image / "ram")}
    atomic.write_json(image / "image.json", {**described, "stamps": _stamps(image)})
    trial = image / "trial"
    trial.mkdir()
    with restore(machine, image, payload, trial) as guest:
        guest.settle(time.monotonic() + _RESTORE_SECONDS)
    shutil.rmtree(trial)
    for used in (payload, *image.glob("std*.log"), image / "qemu.log"):
        used.unlink()
    return booted


def _state_of(monitor: Monitor) -> bytes:
    """Return the state of a machine's devices. It is not stopped before: one that was would not run when it is restored."""
    monitor.execute("migrate-set-capabilities", capabilities=[*_CAPABILITIES, {"capability": "events", "state": True}])
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rb") as stream:
        ours.settimeout(_RESTORE_SECONDS)
        with theirs:
            monitor.execute("getfd", theirs.fileno(), fdname="state")
        monitor.execute("migrate", uri="fd:state")
        state = stream.read()
    while (status := monitor.wait_for("MIGRATION")["status"]) != "completed":
        if status == "failed":
            raise MonitorError("QEMU could not save the state")
    return state


# ---- restoring ----


def waiting_guest(
    machine: qemu.Machine, image: Path | None, disk: Path, evidence: Path, deadline: float, live: Live | None = None
) -> Guest:
    """Return a guest that waits for its job: restored from an image, or booted from its start if there is none.

    The other arguments are those of `restore` and `machine.boot`, which raise NoVerdict.
    """
    if image:
        return restore(machine, image, disk, evidence, live)
    from bpfcompat.vm.machine import boot  # with it comes pexpect

    return boot(machine, disk, evidence, deadline, live)


def restore(machine: qemu.Machine, image: Path, disk: Path, evidence: Path, live: Live | None = None) -> Guest:
    """Return a guest that waits for its job, a private copy of the saved one.

    disk: the payload's image.
    live: where the command's streams go as they come, instead of into the evidence.
    Raises NoVerdict if the image or QEMU is not usable.
    """
    restored = Restored(machine, image, disk, evidence)
    import bpfcompat.vm.machine  # noqa: F401 - with it comes pexpect; QEMU takes longer to start

    restored.resume()
    return restored.guest(evidence, live)


class Restored:
    """A private copy of the saved guest, idle until it gets its job.

    It runs: what its kernel does after a restore is translated by the time the job comes (QEMU 7.2: a third of what `true` takes).
    """

    def __init__(self, machine: qemu.Machine, image: Path, disk: Path, folder: Path) -> None:
        """Start QEMU, which has nothing to run yet.

        disk: the payload's image; its content may still come.
        folder: for the logs.
        Raises NoVerdict if the image or QEMU is not usable.
        """
        from bpfcompat.vm.emulator import Emulator  # a run of stored verdicts does not need it

        self._disk = disk
        with _usable(), ExitStack() as held:
            # Whoever prunes images leaves one alone that is held; once QEMU runs, it holds the files itself.
            description = held.enter_context((image / "image.json").open("rb"))
            fcntl.flock(description, fcntl.LOCK_SH)
            with contextlib.suppress(OSError):  # a cache that is not ours to write; it only says when it was used
                os.utime(description.fileno())
            described = json.load(description)
            self._state, console = (image / "state").read_bytes(), (image / "console.log").read_bytes()
            self._digest = described["state"]
            memory = qemu.Memory(image / "ram", saving=False)
            self._emulator = Emulator(machine, disk, folder, memory, console)
            self._held = held.pop_all()

    def resume(self) -> None:
        """Give it what was saved, and let it run; raises NoVerdict if that is not usable: QEMU is gone then."""
        with self._held, _usable(), _told(self._emulator):
            if digest.of_bytes(self._state) != self._digest:
                raise NoVerdict(Classification.HOST_FAILURE, "its state is not what was saved.")
            _restore(self._emulator, self._state)

    def guest(self, evidence: Path, live: Live | None = None) -> Guest:
        """Begin to read what it says, and return it; raises NoVerdict if it has waited and QEMU is gone.

        evidence: a folder for its logs, on the filesystem of that which they are in; otherwise as `restore`.
        """
        from bpfcompat.vm.machine import Guest

        with _told(self._emulator):
            self._emulator.monitor(_RESTORE_SECONDS).execute("query-status")  # raises if QEMU is gone meanwhile
            if evidence != self._emulator.folder:
                self._emulator.move(evidence)
            return Guest(self._emulator, live)

    def bring(self, image: Path) -> None:
        """Copy a payload's image to the disk that it has, which was all holes; raises OSError."""
        disk.copy(image, self._disk)

    def stop(self) -> None:
        """End it."""
        self._emulator.stop()
        self._held.close()


@contextlib.contextmanager
def _usable() -> Iterator[None]:
    """Turn what is wrong with an image into no verdict."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoVerdict(Classification.HOST_FAILURE, f"{error}.") from error


def _restore(emulator: Emulator, state: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(_RESTORE_SECONDS)
        with theirs:
            asked: list[Command] = [
                ("migrate-set-capabilities", {"capabilities": _CAPABILITIES}),
                ("getfd", {"fdname": "s"}),
                ("migrate-incoming", {"uri": "fd:s"}),
            ]
            monitor = emulator.monitor(_RESTORE_SECONDS, asked, theirs.fileno())
        ours.sendall(state)
    monitor.wait_for("RESUME")  # it ran when it was saved, so QEMU lets it run


@contextlib.contextmanager
def _told(machine: Emulator | Guest) -> Iterator[None]:
    """Turn the monitor's troubles into no verdict, with what QEMU itself said; whatever happens, QEMU is gone then."""
    try:
        yield
    except (MonitorError, OSError) as error:
        machine.stop()
        if processes.interrupted():
            raise NoVerdict(Classification.INTERRUPTED, "The run was interrupted.") from error
        raise NoVerdict(Classification.HOST_FAILURE, f"{error}. {machine.said()}".strip()) from error
    except BaseException:
        machine.stop()
        raise


# ---- keeping ----


@dataclass(frozen=True)
class Kept:
    """A boot image on disk."""

    path: Path
    name: str
    size_bytes: int
    """As the disk has it, holes not counted."""
    used: float
    """When it was last restored, in seconds of the epoch."""


def kept(cache: Path) -> list[Kept]:
    """List a cache's boot images, the one used last first."""
    found = []
    for path in folder(cache).glob("[0-9a-f]*"):
        with contextlib.suppress(OSError):  # pruned meanwhile, or a lock
            size = sum(file.stat().st_blocks * 512 for file in path.iterdir())
            description = path / "image.json"
            found.append(Kept(path, _name(description), size, description.stat().st_mtime))
    return sorted(found, key=lambda image: image.used, reverse=True)


def _name(description: Path) -> str:
    try:
        return str(json.loads(description.read_bytes())["name"])
    except (ValueError, KeyError, TypeError):
        return "(not whole)"


def prune(cache: Path, at_most: int) -> list[Kept]:
    """Drop the images used longest ago until the rest fits, and what killed runs left; return what was dropped.

    at_most: bytes.
    """
    for left in folder(cache).glob(".*"):
        if not atomic.is_locked(folder(cache) / f"{left.name[1:].split('.')[0]}.lock"):
            discard(left)
    dropped, total = [], 0
    for image in kept(cache):
        total += image.size_bytes
        if total <= at_most:
            continue
        with contextlib.suppress(OSError), (image.path / "image.json").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not while somebody restores it
            discard(image.path)
            dropped.append(image)
    return dropped

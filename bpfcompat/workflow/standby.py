"""Machines that are restored before their jobs come: a job then finds one that waits for it."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bpfcompat.errors import NoVerdict
from bpfcompat.guest import PAYLOAD_MIB
from bpfcompat.model import Project
from bpfcompat.system import disk as disks
from bpfcompat.system import host, scratch
from bpfcompat.vm import Machine, bootimage

if TYPE_CHECKING:
    from bpfcompat.vm import machine as guests

_COPIED_AT_MOST = 32 << 20
"""Bytes of a payload: to copy more takes longer than to restore a machine that has the payload itself (60 ms)."""


class Standby:
    """Restored machines that no job has yet. Methods are called from several threads.

    Such a machine is idle: it takes half a hundredth of a processor, and shares its memory with the boot image.
    A machine that cannot be restored is none; the job that would have had it restores its own, and tells what is wrong.
    """

    def __init__(self, base: Path, most: int) -> None:
        """Nothing is restored yet.

        base: holds folders of temporary files, on the filesystem of the evidence.
        most: machines that wait at once.
        """
        self._base = base
        self._most = most
        self._waiting: list[_Waiting] = []
        self._ahead: Iterator[tuple[Machine, Path]] = iter(())
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._keeper: threading.Thread | None = None
        self._folder = Path()
        self._open = ExitStack()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, project: Project, jobs: int | None) -> Standby:
        """Return one for a project: it holds as many machines as run at once, where the memory has room for them beside those.

        jobs: machines that run at once; None means as many as this host can carry.
        """
        memory = max(profile.memory for profile in project.matrix.profiles)
        running = jobs or host.jobs(memory)
        return cls(project.workdir / "tmp", max(0, min(running, host.guests_in_memory(memory) - running)))

    def expect(self, ahead: Iterable[tuple[Machine, Path]]) -> None:
        """Begin to restore machines: as many as may wait now, and one more whenever one was asked for.

        ahead: each machine with its boot image, in the order in which they will be asked for. Others that wait are dropped.
        """
        with self._lock:
            self._ahead = iter(ahead)
            first = list(itertools.islice(self._ahead, self._most))
            for one in list(self._waiting):
                if (one.machine, one.image) in first:
                    first.remove((one.machine, one.image))
                else:
                    self._waiting.remove(one)
                    self._work.put(one.drop)
            for machine, image in first:
                self._add(machine, image)

    def _add(self, machine: Machine, image: Path) -> None:
        if self._keeper is None:
            self._folder = self._open.enter_context(scratch.folder(self._base, scratch.unique("standby")))
            # One thread for all, which stays: a child dies with the thread that has started it.
            self._keeper = threading.Thread(target=self._keep, name="bpfcompat-standby", daemon=True)
            self._keeper.start()
        self._waiting.append(_Waiting(machine, image, self._folder / os.urandom(4).hex()))
        self._work.put(self._waiting[-1].restore)

    def _keep(self) -> None:
        while work := self._work.get():
            work()

    def guest(self, machine: Machine, image: Path, disk: Path, evidence: Path) -> guests.Guest | None:
        """Return a guest that waits for its job, if such a machine was expected, and lives.

        The arguments are those of `bootimage.restore`.
        """
        if disk.stat().st_blocks * 512 > _COPIED_AT_MOST:
            return None
        with self._lock:
            found = next((one for one in self._waiting if (one.machine, one.image) == (machine, image)), None)
            if found:
                self._waiting.remove(found)
            for more in itertools.islice(self._ahead, max(0, self._most - len(self._waiting))):
                self._add(*more)
        return found.guest(disk, evidence) if found else None

    def close(self) -> None:
        """End all that wait, and those that were handed out, too."""
        with self._lock:
            for one in self._waiting:
                self._work.put(one.drop)
            self._waiting.clear()
            self._ahead = iter(())
            self._work.put(None)
            if self._keeper:
                self._keeper.join()
                self._keeper = None
            self._open.close()


class _Waiting:
    """One machine, and the folder of its disk and its logs until it is handed out."""

    def __init__(self, machine: Machine, image: Path, folder: Path) -> None:
        self.machine, self.image, self._folder = machine, image, folder
        self._disk = folder / "payload.disk"
        self._restored: bootimage.Restored | None = None
        self._over = threading.Event()

    def restore(self) -> None:
        """Restore it, with a payload that is still to come; called by the thread that keeps it."""
        try:
            with contextlib.suppress(NoVerdict, OSError):
                self._folder.mkdir()
                disks.empty(self._disk, PAYLOAD_MIB)
                restored = bootimage.Restored(self.machine, self.image, self._disk, self._folder)
                restored.resume()
                self._restored = restored
        finally:
            self._over.set()

    def guest(self, disk: Path, evidence: Path) -> guests.Guest | None:
        """Give it its payload and let it run; None if it is not there any more, or there is no room for the payload."""
        from bpfcompat.vm import machine  # noqa: F401 - with it comes pexpect; QEMU may still be starting

        self._over.wait()
        if self._restored is None:
            return None
        try:
            self._restored.bring(disk)
            return self._restored.guest(evidence)
        except (NoVerdict, OSError):
            self._restored.stop()
            return None
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)  # QEMU has what it needs of it

    def drop(self) -> None:
        """End it; called by the thread that keeps it."""
        if self._restored:
            self._restored.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

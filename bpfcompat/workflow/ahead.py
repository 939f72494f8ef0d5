"""A machine that is restored before it is known which one is asked for: the one that the same words asked for the last time.

Python takes as long to read this package's modules as QEMU to start, and two processors can do both at once. A note that is out of date
costs a machine that is dropped, and no more: whoever takes one asks first whether it is the right one (`Ahead.is_for`).
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import zlib
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import PAYLOAD_MIB
from bpfcompat.system import atomic, disk, host, scratch, slots
from bpfcompat.vm import BOARDS, Machine, bootimage

if TYPE_CHECKING:
    from bpfcompat.vm import machine as guests

Words = tuple[str, ...]
"""What machines are asked for with."""
DISK, EVIDENCE = "payload.disk", "evidence"
"""The payload's disk, and the folder of the logs, in a machine's folder."""
_SWITCH_SECONDS = 0.0003
_NOTES = 64
"""How many there are at most: of two whose words come to the same number the newer one stays."""


class Ahead:
    """The place of a machine (system/slots.py), its folder, and what is restored there. A context manager: at its end all are let go."""

    def __init__(self, cache: Path, words: Words | None) -> None:
        """Nothing is restored yet.

        words: what the machine is asked for with; None for one that is not to be restored.
        """
        self._cache = cache
        self._words = words
        self._noted: tuple[Machine, Path] | None = None
        self._restored: bootimage.Restored | None = None
        self._thread: threading.Thread | None = None
        self._resumed = False
        self._interval = sys.getswitchinterval()
        self._open = ExitStack()
        self.folder: Path | None = None
        """For the temporary files of whoever takes the machine, and needs no place of its own then."""

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def begin(self) -> None:
        """Begin to restore what these words asked for the last time, if there is a place, and its boot image is whole."""
        self._noted = _read(self._cache, self._words) if self._words else None
        if self._noted is None or not bootimage.is_whole(self._noted[1]):
            return
        machine, image = self._noted
        if not self._open.enter_context(slots.slot(self._cache / "slots", host.jobs(machine.memory), wait=False)):
            return
        self.folder = self._open.enter_context(temporary(self._cache))
        disk.empty(self.folder / DISK, PAYLOAD_MIB)
        (self.folder / EVIDENCE).mkdir()
        # QEMU is started here, and not by the thread: a child dies with the thread that has started it.
        with contextlib.suppress(NoVerdict):
            self._restored = bootimage.Restored(machine, image, self.folder / DISK, self.folder / EVIDENCE)
            # The thread that talks with QEMU would wait 5 ms for the one that reads modules, with every word.
            sys.setswitchinterval(_SWITCH_SECONDS)
            thread = threading.Thread(target=self._resume, args=(self._restored,), name="bpfcompat-ahead", daemon=True)
            thread.start()
            self._thread = thread

    def _resume(self, restored: bootimage.Restored) -> None:
        with contextlib.suppress(NoVerdict):  # QEMU is gone then
            restored.resume()
            self._resumed = True

    def is_for(self, machine: Machine, image: Path | None) -> bool:
        """Return whether this is the machine that is restored here.

        image: its boot image, if it has one.
        """
        return self._restored is not None and self._noted == (machine, image)

    def guest(self, live: guests.Live) -> guests.Guest | None:
        """Return the machine's guest, which waits for its job, if it lives.

        live: as `bootimage.restore` has it.
        """
        if self._restored is None or self.folder is None:
            return None
        from bpfcompat.vm import machine  # noqa: F401 - with it comes pexpect; QEMU may still be starting

        self._join()
        with contextlib.suppress(NoVerdict):
            if self._resumed:
                return self._restored.guest(self.folder / EVIDENCE, live)
        self._end()
        return None

    def _join(self) -> None:
        if self._thread:
            self._thread.join()
        self._thread = None
        sys.setswitchinterval(self._interval)

    def _end(self) -> None:
        """End the machine, if there is one; the place stays."""
        if self._restored:
            self._restored.stop()
        self._join()
        self._restored = None

    def note(self, machine: Machine, image: Path) -> None:
        """Remember what the words asked for; a cache that is not ours to write to stays as it is."""
        if self._words and self._noted != (machine, image):
            said = {"words": self._words, "image": str(image), "machine": _described(machine)}
            with contextlib.suppress(OSError):
                atomic.write_json(_path(self._cache, self._words), said)

    def drop(self) -> None:
        """End the machine, whoever has its guest, and let go of its place."""
        self._end()
        self.folder = None
        self._open.close()


def temporary(cache: Path) -> contextlib.AbstractContextManager[Path]:
    """Return a new folder for the temporary files of one program on one machine."""
    return scratch.folder(cache / "exec", scratch.unique("exec"))


def _path(cache: Path, words: Words) -> Path:
    return cache / "ahead" / f"{zlib.crc32(repr(words).encode(errors='surrogateescape')) % _NOTES}.json"


def _described(machine: Machine) -> dict[str, Any]:
    board = next(name for name, board in BOARDS.items() if board is machine.board)
    disks = [(name, str(path)) for name, path in machine.disks]
    return {
        **vars(machine),
        "image": str(machine.image),
        "initramfs": str(machine.initramfs),
        "disks": disks,
        "board": board,
    }


def _read(cache: Path, words: Words) -> tuple[Machine, Path] | None:
    """Return what was noted; None if nothing was, or by another version of this package."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, BpfcompatError):
        said = json.loads(_path(cache, words).read_bytes())
        parts, image = said["machine"], Path(said["image"])
        board, disks = BOARDS[parts["board"]], tuple((name, Path(path)) for name, path in parts["disks"])
        # A cache may be shared; what it says must not choose the program that is started.
        if said["words"] == list(words) and parts["binary"] == host.program(board.program):
            paths = {"image": Path(parts["image"]), "initramfs": Path(parts["initramfs"])}
            return Machine(**{**parts, **paths, "disks": disks, "board": board}), image
    return None

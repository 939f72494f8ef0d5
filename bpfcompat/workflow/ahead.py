"""A machine that is restored before it is known which one is asked for: the one that the same words asked for the last time.

Python takes as long to read this package's modules as QEMU to start, and two processors can do both at once. A note that is out of date
costs a machine that is dropped: whoever takes one names the machine that is right (`Ahead.holds`).
"""

from __future__ import annotations

import contextlib
import json
import sys
import zlib
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bpfcompat.system import atomic, host, slots
from bpfcompat.vm import BOARDS, Machine, bootimage
from bpfcompat.workflow import standby
from bpfcompat.workflow.standby import Standby

if TYPE_CHECKING:
    from bpfcompat.vm import machine as guests

Words = tuple[str, ...]
"""What machines are asked for with."""
_NOTES = 64
"""How many there are at most: of two whose words come to the same number the newer one stays."""


class Ahead:
    """The place of a machine (system/slots.py) and what is restored there. A context manager: at its end both are let go."""

    def __init__(self, cache: Path, words: Words | None) -> None:
        """Nothing is restored yet.

        words: what the machine is asked for with; None for one that is not to be restored.
        """
        self._cache = cache
        self._words = words
        self._noted: tuple[Machine, Path] | None = None
        self._standby: Standby | None = None
        self._interval = sys.getswitchinterval()
        self._open = ExitStack()

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
        places = host.jobs(self._noted[0].memory)
        if self._open.enter_context(slots.slot(self._cache / "slots", places, wait=False)):
            self._standby = Standby(self._cache / "exec", 1)
            self._open.callback(self._standby.close)
            # The thread that talks with QEMU would wait 5 ms for the one that reads modules, with every word.
            sys.setswitchinterval(0.0003)
            self._standby.expect([self._noted])

    @property
    def has_place(self) -> bool:
        """Whether it holds the place of a machine; whoever takes the machine, or runs one instead, needs none of its own."""
        return self._standby is not None

    def holds(self, machine: Machine, image: Path | None) -> bool:
        """Return whether this is the machine that is restored here; another one is dropped, for the right one to take its place.

        image: the machine's boot image, if it has one.
        """
        if self._standby and self._noted != (machine, image):
            self._standby.close()
        return self._standby is not None and self._noted == (machine, image)

    def guest(
        self, machine: Machine, image: Path, disk: Path, evidence: Path, live: guests.Live
    ) -> guests.Guest | None:
        """Return a guest that waits for its job, if that is held here, and lives.

        The arguments are those of `bootimage.restore`; the payload is on its disk already.
        """
        found = self._standby.guest(machine, image, disk, evidence, live) if self._standby else None
        sys.setswitchinterval(self._interval)
        if self._standby and found is None:
            self._standby.close()
        return found

    def note(self, machine: Machine, image: Path, disk: Path) -> None:
        """Remember what the words asked for; a cache that is not ours to write to stays as it is.

        disk: the payload's; where it is too large for a machine that waits, none is to wait the next time.
        """
        if self._words is None:
            return
        noted, wanted = _read(self._cache, self._words), None if standby.is_large(disk) else (machine, image)
        with contextlib.suppress(OSError):
            if wanted is None:
                _path(self._cache, self._words).unlink(missing_ok=True)
            elif noted != wanted:
                said = {"words": self._words, "image": str(image), "machine": _described(machine)}
                atomic.write_json(_path(self._cache, self._words), said)

    def drop(self) -> None:
        """End what waits or was handed out, and let go of the place."""
        sys.setswitchinterval(self._interval)
        self._standby = None
        self._open.close()


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
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(_path(cache, words).read_bytes())
        parts, image = said["machine"], Path(said["image"])
        board, disks = BOARDS[parts["board"]], tuple((name, Path(path)) for name, path in parts["disks"])
        # A cache may be shared; what it says must not choose the program that is started.
        if said["words"] == list(words) and parts["binary"] == host.program(board.program):
            paths = {"image": Path(parts["image"]), "initramfs": Path(parts["initramfs"])}
            return Machine(**{**parts, **paths, "disks": disks, "board": board}), image
    return None

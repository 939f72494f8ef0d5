"""A machine that is restored before it is known which one is asked for: the one that the same words asked for the last time.

Python takes as long to read this package's modules as QEMU to start, and two processors can do both at once. A note that is out of date
costs a machine that is dropped, and no more: whoever takes one names the machine that is right (`Ahead.guest`).
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
        self._standby: Standby | None = None
        self._interval = sys.getswitchinterval()
        self._open = ExitStack()

    def __enter__(self) -> Ahead:
        """Begin to restore what these words asked for the last time, if there is a place, and its boot image is whole."""
        noted = _read(self._cache, self._words) if self._words else None
        if noted and bootimage.is_whole(noted[1]):
            places = host.jobs(noted[0].memory)
            if self._open.enter_context(slots.slot(self._cache / "slots", places, wait=False)):
                self._standby = Standby(self._cache / "exec", 1)
                self._open.callback(self._standby.close)
                self._standby.expect([noted])
                # The thread that talks with QEMU would wait 5 ms for the one that reads modules, with every word.
                sys.setswitchinterval(0.0003)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    @property
    def has_place(self) -> bool:
        """Whether it holds the place of a machine; whoever takes the machine, or runs one instead, needs none of its own."""
        return self._standby is not None

    def guest(
        self, machine: Machine, image: Path, disk: Path, evidence: Path, live: guests.Live
    ) -> guests.Guest | None:
        """Return a guest that waits for its job, if this is the machine that was restored, and lives.

        The arguments are those of `bootimage.restore`; the payload is on its disk already.
        """
        found = self._standby.guest(machine, image, disk, evidence, live) if self._standby else None
        sys.setswitchinterval(self._interval)
        if self._standby and found is None:
            self._standby.close()  # another one takes its place
        return found

    def note(self, machine: Machine, image: Path) -> None:
        """Remember what the words asked for; a cache that is not ours to write to stays as it is."""
        if self._words and _read(self._cache, self._words) != (machine, image):
            said = {"words": self._words, "image": str(image), "machine": _described(machine)}
            with contextlib.suppress(OSError):
                atomic.write_json(_path(self._cache, self._words), said)

    def drop(self) -> None:
        """End what waits or was handed out, and let go of the place."""
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
        if said["words"] == list(words):
            parts = said["machine"]
            disks = tuple((name, Path(path)) for name, path in parts["disks"])
            paths = {"image": Path(parts["image"]), "initramfs": Path(parts["initramfs"])}
            return Machine(**{**parts, **paths, "disks": disks, "board": BOARDS[parts["board"]]}), Path(said["image"])
    return None

"""What the checks of one run bring into their guests: measured, and staged once for all that bring the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.guest import payload
from bpfcompat.model import Check, Payload
from bpfcompat.workflow.userland import Userland


class Payloads:
    """The payloads of one run. Methods are called from several threads."""

    def __init__(self, userland: Callable[[str], Userland]) -> None:
        """Nothing is read yet.

        userland: tells what a loader finds in the guests of an architecture beside its own files.
        """
        self._userland = userland
        self._measured: dict[payload.Brought, Payload] = {}
        self._staged: dict[payload.Brought, Payload] = {}
        self._refused: dict[payload.Brought, NoVerdict] = {}
        self._lock = threading.Lock()

    def of(self, check: Check) -> Payload:
        """Return a check's payload: as staged, or else as its files are now; raises BpfcompatError."""
        brought = payload.brought(check)
        staged = self._staged.get(brought)
        if staged:
            return staged
        if refusal := self._refused.get(brought):
            raise refusal
        if brought in self._measured:
            return self._measured[brought]
        program = self._userland(check.arch).validator(check)
        try:
            measured = payload.measure(check, program)
        except NoVerdict as error:
            self._refused[brought] = error
            raise
        if program or not check.validation:  # without the kit there is no validator to be measured with it yet
            self._measured[brought] = measured
        return measured

    def put(self, check: Check, staged: Payload) -> None:
        """Have a check bring what was staged elsewhere."""
        self._staged[payload.brought(check)] = staged

    def stage(self, check: Check, folder: Path) -> Payload:
        """Copy a check's files and make the disk of the copies, whose digests count from here on; raises BpfcompatError.

        Checks that bring the same files share the disk.
        folder: of this run, for temporary files.
        """
        brought = payload.brought(check)
        with self._lock:
            if refusal := self._refused.get(brought):
                raise refusal
            if brought not in self._staged:
                userland = self._userland(check.arch)
                try:
                    self._staged[brought] = payload.stage(
                        check, folder / f"payload-{len(self._staged)}", userland.loader_finds(),
                        userland.validator(check), userland.examiner(check),
                    )  # fmt: skip
                except NoVerdict as error:
                    self._refused[brought] = error
                    raise
            return self._staged[brought]

    def is_refused(self, check: Check) -> bool:
        """Tell whether a check's files have turned out to be of no use, so that none of its jobs needs a machine."""
        return payload.brought(check) in self._refused

    def known(self, check: Check) -> Payload | None:
        """Return what is known of a check's payload by now."""
        brought = payload.brought(check)
        return self._staged.get(brought) or self._measured.get(brought)

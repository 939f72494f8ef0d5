"""The kernels of one run: what each profile's name stands for, by the lock file and the store."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NoReturn

from bpfcompat import kernels
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.kernels import lock
from bpfcompat.model import Kernel, Profile, Project
from bpfcompat.outcome import Classification


class KernelSet:
    """The kernels of a project's profiles. Methods are called from several threads, each profile's by one at a time."""

    def __init__(self, project: Project, cache: Path, *, offline: bool) -> None:
        """Nothing is read yet.

        offline: kernels are not fetched.
        """
        self._project = project
        self._cache = cache
        self._offline = offline
        self._found: dict[str, Kernel] = {}
        self._unavailable: dict[str, NoVerdict] = {}

    def get(self, profile: Profile) -> Kernel | None:
        """Return a profile's kernel if it is in the store."""
        address = self.address(profile)
        if address in self._unavailable:
            return None
        if address not in self._found:
            found = kernels.pinned(profile, self._cache, self._locked(profile))
            if found is None:
                return None
            self._found[address] = found
        return self._found[address]

    def put(self, profile: Profile, kernel: Kernel) -> None:
        """Have a profile boot this kernel, whatever its name stands for here."""
        self._found[self.address(profile)] = kernel

    def address(self, profile: Profile) -> str:
        """Return what tells a profile's kernel from others before it is known."""
        return f"{kernels.address(profile)}|{self._locked(profile)}|{profile.headers}"

    @functools.cached_property
    def _locks(self) -> lock.Locks:
        return lock.read(self._project.lock)

    def _locked(self, profile: Profile) -> lock.Locked | None:
        """Return what a profile is locked to; raises BpfcompatError if that is another kernel than the matrix names."""
        locked = self._locks.get(profile.id)
        if locked and locked.kernel != profile.kernel:
            raise BpfcompatError(
                f"{self._project.lock} locks {profile.id} to {locked.kernel}, and the matrix names {profile.kernel}.",
                f"bpfcompat kernels update {profile.id}",
            )
        return locked

    def check_locks(self) -> None:
        """Raise BpfcompatError for a lock file that is damaged, or does not fit the matrix."""
        for profile in self._project.matrix.profiles:
            self._locked(profile)

    def fetch(self, profile: Profile) -> None:
        """Bring a profile's kernel into the store; what goes wrong becomes the verdict of the jobs that need it."""
        try:
            locked = self._locked(profile)
            self._found[self.address(profile)] = self._brought(profile, locked)
        except NoVerdict as error:
            self._unavailable[self.address(profile)] = error
        except OSError as error:
            message = f"{profile.kernel} cannot be stored: {error.strerror}."
            hint = "make room: bpfcompat cache prune --unused 30"
            self._unavailable[self.address(profile)] = NoVerdict(Classification.KERNEL_UNAVAILABLE, message, hint)

    def _brought(self, profile: Profile, locked: lock.Locked | None) -> Kernel:
        try:
            return kernels.fetch(profile, self._cache, offline=self._offline, locked=locked)
        except NoVerdict:
            # What an earlier version stored is whole, but for what that version did not keep, which is in the key.
            found = kernels.renewed(profile, self._cache, locked)
            if found is None:
                raise
            return found

    def use(self, profile: Profile) -> None:
        """Remember that a profile's kernel is booted now."""
        kernel = self.get(profile)
        if kernel:
            kernels.use(kernel)

    def refuse(self, profile: Profile) -> NoReturn:
        """Raise NoVerdict: why a profile has no machine."""
        raise self._unavailable.get(self.address(profile)) or NoVerdict(
            Classification.HOST_FAILURE, "the guest could not be built."
        )

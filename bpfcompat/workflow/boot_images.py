"""The boot images of one run: each machine booted once, saved, and restored for every job."""

from __future__ import annotations

import os
from pathlib import Path

from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import tools
from bpfcompat.model import Profile
from bpfcompat.outcome import Classification
from bpfcompat.system import host
from bpfcompat.vm import Machine, bootimage
from bpfcompat.workflow.limits import Pace
from bpfcompat.workflow.machines import Machines


class BootImages:
    """The boot images of a run's machines. Methods are called from several threads, each profile's by one at a time."""

    def __init__(self, machines: Machines, cache: Path, pace: Pace, *, warm: bool) -> None:
        """Nothing is read yet.

        pace: is told how long boots take.
        warm: machines are restored from boot images; if not, there are none.
        """
        self._machines = machines
        self._cache = cache
        self._pace = pace
        self._warm = warm
        self._images: dict[Machine, Path] = {}

    def get(self, profile: Profile) -> Path | None:
        """Return a profile's boot image if there is one to be trusted."""
        image = self._image(profile)
        return image if image and bootimage.is_whole(image) else None

    def is_ready(self, profile: Profile) -> bool:
        """Tell whether a profile's machine can be restored right now, or never will; never raises: doit would stop."""
        kernel = self._machines.kernels.get(profile)
        try:
            return self.get(profile) is not None or (kernel is not None and not kernel.has_disks)
        except BpfcompatError:
            return False

    def _image(self, profile: Profile) -> Path | None:
        """Return where the boot image of a profile's machine is, or will be."""
        machines, userland = self._machines, self._machines.userland(profile.arch)
        machine, kernel = machines.machine(profile), machines.kernels.get(profile)
        if not self._warm or machine is None or kernel is None or userland.kit is None or not machine.has_disks:
            return None
        if machine not in self._images:
            contents = {
                "kernel": kernel.image_sha256, "modules": kernel.modules_sha256, "initramfs": machine.initramfs.stem,
                "headers": kernel.headers_sha256,
                "tools": tools.identity(userland.kit), "rootfs": userland.rootfs.identity if userland.rootfs else "",
            }  # fmt: skip
            image = bootimage.identity(machine, contents)
            self._images[machine] = bootimage.folder(self._cache) / image
        return self._images[machine]

    def save(self, profile: Profile, seconds: float) -> None:
        """Make the boot image of a profile's machine; without one its jobs boot from the start, so this never fails.

        seconds: for the boot.
        """
        image, machine, kernel = (
            self._image(profile),
            self._machines.machine(profile),
            self._machines.kernels.get(profile),
        )
        if image is None or machine is None or kernel is None:
            return
        if image.exists() and os.access(self._cache, os.W_OK) and not bootimage.is_whole(image):
            self._machines.notice(f"the boot image of {profile.id} is not what was saved; it is made anew.")
        try:
            booted = bootimage.save(machine, image, f"{kernel.version}, {profile.memory} MiB", seconds)
        except NoVerdict as error:
            if error.classification is not Classification.INTERRUPTED:
                self._machines.notice(f"{profile.id} has no boot image: {error.message}")
            return
        if booted is not None:
            self._pace.booted(machine, kernel, booted)
        bootimage.prune(self._cache, host.boot_images_bytes())

    def drop(self, profile: Profile) -> None:
        """Remove the boot image of a profile's machine."""
        image = self._image(profile)
        if image:
            bootimage.discard(image)

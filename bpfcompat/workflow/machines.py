"""What the profiles of a project boot: kernel, userland, accelerator and boot image, resolved and built once per run."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bpfcompat import kernels
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.guest import build, initramfs, preflight, rootfs, tools, validator
from bpfcompat.kernels import lock
from bpfcompat.model import Check, Classification, Kernel, Profile, Project
from bpfcompat.system import atomic, disk, host
from bpfcompat.vm import Accelerator, Machine, accelerator, bootimage


def _say(text: str) -> None:
    sys.stderr.write(f"bpfcompat: {text}\n")


class Machines:
    """The machines of one run. Methods are called from several threads, each profile's by one at a time."""

    def __init__(
        self, project: Project, cache: Path, *, warm: bool, offline: bool, notice: Callable[[str], None] | None = None
    ) -> None:
        """Nothing is read yet.

        warm: machines are restored from boot images.
        offline: kernels are not fetched.
        notice: called with a line that the user should see at once; None means stderr.
        """
        self.cache = cache
        self.warm = warm
        self.notice = notice or _say
        self._project = project
        self._offline = offline
        self._kernels: dict[str, Kernel] = {}
        self._unavailable: dict[str, NoVerdict] = {}
        self._accelerator: Accelerator | None = None
        self._userlands: dict[str, str] = {}
        self._machines: dict[str, Machine] = {}
        self._images: dict[Machine, Path] = {}

    # ---- kernels ----

    def kernel(self, profile: Profile) -> Kernel | None:
        """Return a profile's kernel if it is in the store."""
        address = self.address(profile)
        if address in self._unavailable:
            return None
        if address not in self._kernels:
            found = kernels.pinned(profile, self.cache, self._locked(profile))
            if found is None:
                return None
            self._kernels[address] = found
        return self._kernels[address]

    def address(self, profile: Profile) -> str:
        """Return what tells a profile's kernel from others before it is known."""
        return f"{kernels.address(profile)}|{self._locked(profile)}"

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

    def fetch_kernel(self, profile: Profile) -> None:
        """Bring a profile's kernel into the store; what goes wrong becomes the verdict of the jobs that need it."""
        try:
            self._kernels[self.address(profile)] = kernels.fetch(
                profile, self.cache, offline=self._offline, locked=self._locked(profile)
            )
        except NoVerdict as error:
            self._unavailable[self.address(profile)] = error
        except OSError as error:
            message = f"{profile.kernel} cannot be stored: {error.strerror}."
            hint = "make room: bpfcompat cache prune --unused 30"
            self._unavailable[self.address(profile)] = NoVerdict(Classification.KERNEL_UNAVAILABLE, message, hint)

    def use(self, profile: Profile) -> None:
        """Remember that a profile's kernel is booted now."""
        kernel = self.kernel(profile)
        if kernel:
            kernels.use(kernel)

    def missing(self, profile: Profile) -> NoVerdict:
        """Return why a profile has no machine."""
        return self._unavailable.get(self.address(profile)) or NoVerdict(
            Classification.HOST_FAILURE, "the guest could not be built."
        )

    # ---- userland ----

    @functools.cached_property
    def init(self) -> Path:
        """Where the compiled init is, or will be."""
        return build.init_path(self.cache)

    def build_init(self) -> None:
        """Compile init; raises BpfcompatError."""
        build.compile_init(self.init)

    def loader_finds(self) -> preflight.Userland:
        """Return what a loader finds in the guests; raises BpfcompatError."""
        return preflight.Userland(lambda: build.programs(build.userland(self.cache).busybox), self.rootfs)

    @functools.cached_property
    def _userland(self) -> dict[str, str]:
        return build.userland(self.cache).digests()

    def initramfs_identity(self, profile: Profile) -> str | None:
        """Return what a profile's initramfs is known by; None until its kernel and init are there."""
        kernel = self.kernel(profile)
        if kernel is None:
            return None
        if kernel.modules_sha256 not in self._userlands:
            if not self.init.exists():
                return None
            self._userlands[kernel.modules_sha256] = initramfs.identity(self._userland, kernel.modules_sha256)
        return self._userlands[kernel.modules_sha256]

    def initramfs(self, profile: Profile) -> Path | None:
        """Return where a profile's initramfs is, or will be; None until its kernel and init are there."""
        identity = self.initramfs_identity(profile)
        return self.cache / "initramfs" / f"{identity}.cpio" if identity else None

    def pack_initramfs(self, profile: Profile) -> None:
        """Write a profile's initramfs, if its kernel is there at all."""
        kernel, target = self.kernel(profile), self.initramfs(profile)
        if kernel and target:
            userland = build.userland(self.cache)
            atomic.write(target, initramfs.pack(userland, build.applets(userland.busybox), kernel.modules))

    # ---- tools ----

    @functools.cached_property
    def tools(self) -> tools.Tools:
        """The programs that every guest has; raises BpfcompatError."""
        return tools.find(self.cache)

    @property
    def tools_disk(self) -> Path:
        """Where the disk of the guests' tools is, or will be; raises BpfcompatError."""
        return self.cache / "tools" / f"{self.tools.identity}.ext4"

    def pack_tools(self) -> None:
        """Make the disk of the guests' tools; raises BpfcompatError."""
        tools.pack(self.tools, self.tools_disk)

    # ---- rootfs ----

    @functools.cached_property
    def rootfs(self) -> rootfs.Rootfs | None:
        """The project's own userland, if it has one; raises BpfcompatError for one that cannot be read."""
        source = self._project.rootfs
        return rootfs.find(source, self.cache) if source else None

    @property
    def rootfs_disk(self) -> Path | None:
        """Where the disk of that userland is, or will be; raises BpfcompatError."""
        return rootfs.disk_path(self.cache, self.rootfs) if self.rootfs else None

    def pack_rootfs(self) -> None:
        """Make that disk; raises BpfcompatError, OSError."""
        if self._project.rootfs and self.rootfs:
            rootfs.pack(self._project.rootfs, self.rootfs, self.cache)

    # ---- validator ----

    def validator(self, check: Check) -> Path | None:
        """Return where the compiled validator is, or will be, if a check needs it; raises BpfcompatError without a libbpf."""
        return validator.path(self.cache) if check.validation else None

    def build_validator(self) -> None:
        """Compile the validator of objects, unless that is done; raises BpfcompatError."""
        target = validator.path(self.cache)
        if not target.exists():
            validator.compile_validator(target)

    # ---- accelerator ----

    def accelerator(self) -> Accelerator | None:
        """Return what runs the guests, or None until it has been probed; raises BpfcompatError if it is demanded in vain."""
        if self._accelerator is None:
            self._accelerator = accelerator.known(self._project.accelerator, self.cache)
        return self._accelerator

    def probe_accelerator(self) -> None:
        """Find out what runs the guests, with the first kernel that is there; raises BpfcompatError."""
        if self.accelerator():
            return
        machines = (self._described(profile, "kvm") for profile in self._project.matrix.profiles)
        machine = next((machine for machine in machines if machine), None)
        if machine is None:
            self._accelerator = Accelerator("tcg", "there was no kernel to probe KVM with")
            return
        self._accelerator = accelerator.probe(machine, self._project.accelerator, self.cache)
        if self._accelerator.reason:
            self.notice(f"KVM does not work here, so machines are emulated: {self._accelerator.reason}")

    # ---- machines ----

    def machine(self, profile: Profile) -> Machine | None:
        """Return the machine that a profile boots; None until its parts are there."""
        if profile.id not in self._machines:
            chosen = self.accelerator()
            machine = self._described(profile, chosen.name) if chosen else None
            if machine is None:
                return None
            self._machines[profile.id] = machine
        return self._machines[profile.id]

    def _described(self, profile: Profile, accelerator: str) -> Machine | None:
        kernel, archive = self.kernel(profile), self.initramfs(profile)
        if kernel is None or archive is None:
            return None
        qemu = host.program("qemu-system-x86_64")
        own = {"modules": kernel.modules_disk, "rootfs": self.rootfs_disk}
        disks = [("tools", self.tools_disk), *((name, image) for name, image in own.items() if image)]
        return Machine(
            qemu, accelerator, profile.memory, profile.cpus, kernel.image, archive, profile.cmdline,
            tuple(disks) if kernel.has_disks else (), kernel.has_disks,
        )  # fmt: skip

    def with_payload(self, machine: Machine, payload: Path, folder: Path) -> Machine:
        """Return a machine as it can run a job: without disks the payload and the tools are in an initramfs of its own.

        payload: the disk that others would have.
        folder: new, for temporary files.
        Raises BpfcompatError.
        """
        if machine.has_disks:
            return machine
        if self._project.rootfs:
            raise NoVerdict(
                Classification.KERNEL_UNAVAILABLE, "this kernel cannot mount disks, so it cannot run on guest.rootfs.",
                "take another kernel, or its modules with it",
            )  # fmt: skip
        folder.mkdir()
        parts = [machine.initramfs.read_bytes()]
        for name, image in (("tools", self.tools_disk), ("payload", payload)):
            if image.stat().st_blocks:  # an empty payload is a file without a filesystem
                disk.unpack(image, folder / name)
                parts.append(initramfs.of_tree(folder / name, f"bpfcompat/{name}"))
        (folder / "initramfs").write_bytes(b"".join(parts))
        return replace(machine, initramfs=folder / "initramfs")

    # ---- boot images ----

    def boot_image(self, profile: Profile) -> Path | None:
        """Return a profile's boot image if there is one to be trusted."""
        image = self._image(profile)
        return image if image and bootimage.is_whole(image) else None

    def has_boot_image(self, profile: Profile) -> bool:
        """Tell whether a profile's machine can be restored right now, or never will; never raises: doit would stop."""
        kernel = self.kernel(profile)
        try:
            return self.boot_image(profile) is not None or (kernel is not None and not kernel.has_disks)
        except BpfcompatError:
            return False

    def _image(self, profile: Profile) -> Path | None:
        """Return where the boot image of a profile's machine is, or will be."""
        machine, kernel, archive = self.machine(profile), self.kernel(profile), self.initramfs_identity(profile)
        if not self.warm or machine is None or kernel is None or archive is None or not machine.has_disks:
            return None
        if machine not in self._images:
            contents = {
                "kernel": kernel.image_sha256, "modules": kernel.modules_sha256, "initramfs": archive,
                "tools": self.tools.identity, "rootfs": self.rootfs.identity if self.rootfs else "",
            }  # fmt: skip
            image = bootimage.identity(machine, contents)
            self._images[machine] = bootimage.folder(self.cache) / image
        return self._images[machine]

    def save_boot_image(self, profile: Profile, seconds: float) -> None:
        """Make the boot image of a profile's machine; without one its jobs boot from the start, so this never fails.

        seconds: for the boot.
        """
        image, machine, kernel = self._image(profile), self.machine(profile), self.kernel(profile)
        if image is None or machine is None or kernel is None:
            return
        if image.exists() and os.access(self.cache, os.W_OK) and not bootimage.is_whole(image):
            self.notice(f"the boot image of {profile.id} is not what was saved; it is made anew.")
        try:
            bootimage.save(machine, image, f"{kernel.version}, {profile.memory} MiB", seconds)
        except NoVerdict as error:
            if error.classification is not Classification.INTERRUPTED:
                self.notice(f"{profile.id} has no boot image: {error.message}")
            return
        bootimage.prune(self.cache, host.boot_images_bytes())

    def drop_boot_image(self, profile: Profile) -> None:
        """Remove the boot image of a profile's machine."""
        image = self._image(profile)
        if image:
            bootimage.discard(image)

"""What the profiles of a project boot: kernel, userland and accelerator, brought together once per run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.errors import NoVerdict
from bpfcompat.guest import archive, payload
from bpfcompat.model import Profile, Project
from bpfcompat.outcome import Classification
from bpfcompat.system import disk, host
from bpfcompat.vm import BOARDS, Accelerator, Board, Machine, accelerator
from bpfcompat.workflow.kernelset import KernelSet
from bpfcompat.workflow.userland import Userland


def _say(text: str) -> None:
    sys.stderr.write(f"bpfcompat: {text}\n")


class Machines:
    """The machines of one run. Methods are called from several threads, each profile's by one at a time."""

    def __init__(
        self, project: Project, cache: Path, *, offline: bool, notice: Callable[[str], None] | None = None
    ) -> None:
        """Nothing is read yet.

        offline: kernels are not fetched.
        notice: called with a line that the user should see at once; None means stderr.
        """
        self.notice = notice or _say
        self.kernels = KernelSet(project, cache, offline=offline)
        guests = dict.fromkeys(architecture.of(profile.arch) for profile in project.matrix.profiles)
        self.userlands = {guest: Userland(cache, guest, project.rootfs, offline=offline) for guest in guests}
        """By the architecture of the guests."""
        self._project = project
        self._cache = cache
        self._accelerator: Accelerator | None = None
        self._machines: dict[str, Machine] = {}

    def accelerator(self, profile: Profile | None = None) -> Accelerator | None:
        """Return what runs the guests, or None until it has been probed; raises BpfcompatError if it is demanded in vain.

        profile: whose guests; None means those of this machine's own architecture.
        """
        if profile and self._is_foreign(profile):
            return accelerator.of_foreign(self._project.accelerator, architecture.of(profile.arch))
        if self._accelerator is None:
            self._accelerator = accelerator.known(self._project.accelerator, self._cache)
        return self._accelerator

    def userland(self, arch: str) -> Userland:
        """Return what the guests of an architecture are made of.

        arch: its name, as a profile has it.
        """
        return self.userlands[architecture.of(arch)]

    @staticmethod
    def board(profile: Profile) -> Board:
        """Return what QEMU makes a profile's machines of."""
        return BOARDS[architecture.of(profile.arch).name]

    @staticmethod
    def _is_foreign(profile: Profile) -> bool:
        return architecture.of(profile.arch) is not architecture.host()

    def probe_accelerator(self) -> None:
        """Find out what runs the guests, with the first kernel that is there; raises BpfcompatError."""
        if self.accelerator():
            return
        machine = self.to_probe()
        if machine is None:
            self._accelerator = Accelerator(
                "tcg", "there was no kernel of this machine's architecture to probe KVM with"
            )
            return
        self._accelerator = accelerator.probe(machine, self._project.accelerator, self._cache)
        if self._accelerator.reason:
            self.notice(f"machines are emulated, without KVM: {self._accelerator.reason}")

    def to_probe(self) -> Machine | None:
        """Return a machine to try KVM with, if there is a kernel for one."""
        own = (profile for profile in self._project.matrix.profiles if not self._is_foreign(profile))
        return next((machine for profile in own if (machine := self._described(profile, "kvm"))), None)

    def machine(self, profile: Profile) -> Machine | None:
        """Return the machine that a profile boots; None until its parts are there."""
        if profile.id not in self._machines:
            chosen = self.accelerator(profile)
            machine = self._described(profile, chosen.name) if chosen else None
            if machine is None:
                return None
            self._machines[profile.id] = machine
        return self._machines[profile.id]

    def _described(self, profile: Profile, accelerator: str) -> Machine | None:
        kernel = self.kernels.get(profile)
        userland = self.userland(profile.arch)
        initramfs, tools = userland.initramfs(kernel) if kernel else None, userland.tools_disk
        if kernel is None or initramfs is None or tools is None:
            return None
        board = self.board(profile)
        qemu = host.program(board.program)
        own = {"modules": kernel.modules_disk, "headers": kernel.headers_disk, "rootfs": userland.rootfs_disk}
        disks = [("tools", tools), *((name, image) for name, image in own.items() if image)]
        return Machine(
            qemu, accelerator, profile.memory, profile.cpus, kernel.image, initramfs, profile.cmdline,
            tuple(disks) if kernel.has_disks else (), kernel.has_disks, board,
        )  # fmt: skip

    def with_payload(self, machine: Machine, profile: Profile, image: Path, folder: Path) -> Machine:
        """Return a machine as it can run a job: without disks the payload and the tools are in an initramfs of its own.

        image: the payload's disk, which others would have.
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
        if tools := self.userland(profile.arch).tools_disk:
            disk.unpack(tools, folder / "tools")
            parts.append(archive.of_tree(folder / "tools", "bpfcompat/tools"))
        if image.stat().st_blocks:  # an empty payload is all holes
            parts.append(payload.unpacked(image, folder / "payload"))
        (folder / "initramfs").write_bytes(b"".join(parts))
        return replace(machine, initramfs=folder / "initramfs")

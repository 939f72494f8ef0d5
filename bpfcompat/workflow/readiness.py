"""Whatever a machine is made of, made now if it is not there: what doit's tasks do for a project, for one machine at once."""

from __future__ import annotations

from pathlib import Path

from bpfcompat.errors import NoVerdict
from bpfcompat.model import Kernel, Profile
from bpfcompat.outcome import Classification
from bpfcompat.vm import Machine
from bpfcompat.workflow import limits
from bpfcompat.workflow.boot_images import BootImages
from bpfcompat.workflow.machines import Machines


def make_ready(machines: Machines, cache: Path, profile: Profile, *, warm: bool) -> tuple[Machine, BootImages, float]:
    """Return a profile's machine with everything that it boots from, the images that have its own, and the limit of its boot in seconds.

    warm: it gets a boot image if it can have one.
    Raises NoVerdict (KERNEL_UNAVAILABLE, HOST_FAILURE), BpfcompatError.
    """
    pace = limits.Pace(cache)
    images = BootImages(machines, cache, pace, warm=warm)
    kernel = build(machines, profile)
    machine = machines.machine(profile)
    if machine is None:
        raise NoVerdict(Classification.HOST_FAILURE, "the guest could not be built.")
    seconds = limits.boot(pace, machine.accelerator, kernel, None)
    if warm and not images.is_ready(profile):
        machines.notice(f"booting {kernel.version} once, to be restored from now on")
        images.save(profile, seconds)
    machines.kernels.use(profile)
    return machine, images, seconds


def build(machines: Machines, profile: Profile) -> Kernel:
    """Bring about all that a profile's machine boots from, and what runs it; return its kernel. Raises as `make_ready` does."""
    userland = machines.userland(profile.arch)
    if userland.kit is None:
        userland.build_kit(machines.notice)
    if (tools := userland.tools_disk) and not tools.exists():
        userland.pack_tools()
    if (rootfs := userland.rootfs_disk) and not rootfs.exists():
        userland.pack_rootfs()
    if machines.kernels.get(profile) is None:
        machines.notice(f"fetching {profile.kernel}")
        machines.kernels.fetch(profile)
    kernel = machines.kernels.get(profile)
    if kernel is None:
        machines.kernels.refuse(profile)
    if (archive := userland.initramfs(kernel)) and not archive.exists():
        userland.pack_initramfs(kernel)
    machines.probe_accelerator()
    return kernel

"""What every guest of a run is made of beside its kernel: the kit, what is packed of it, and a userland of the project's own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from bpfcompat import architecture
from bpfcompat.architecture import Architecture
from bpfcompat.guest import Kit, image, initramfs, kit, preflight, rootfs, tools, validator
from bpfcompat.model import Check, Kernel
from bpfcompat.system import atomic, host


class Userland:
    """The parts of the guests of one run, each built once for all. Methods are called from several threads."""

    def __init__(self, cache: Path, guest: Architecture, rootfs: Path | str | None, *, offline: bool) -> None:
        """Nothing is read yet.

        guest: the architecture of these guests.
        rootfs: the project's own userland: a folder, an archive, or `oci:REFERENCE`.
        offline: an image is not fetched.
        """
        self.guest = guest
        self._cache = cache
        self._named = rootfs
        self._offline = offline
        self._kit: Kit | None = None
        self._archives: dict[Kernel, Path] = {}

    @property
    def kit(self) -> Kit | None:
        """What every guest is made of, if it is built; raises BpfcompatError for one that is damaged."""
        if self._kit is None:
            self._kit = kit.find(self._cache, self.guest)
        return self._kit

    def build_kit(self, say: Callable[[str], None]) -> Kit:
        """Return the kit, built first if need be; raises BpfcompatError."""
        if self._kit is None:
            self._kit = kit.made(self._cache, say, self.guest)
        return self._kit

    def loader_finds(self) -> preflight.Userland:
        """Return what a loader finds in the guests; raises BpfcompatError."""
        found = self.kit
        programs = lambda: initramfs.programs(found) if found else frozenset()  # noqa: E731
        return preflight.Userland(programs, self.rootfs, self.guest)

    def initramfs(self, kernel: Kernel) -> Path | None:
        """Return where a kernel's initramfs is, or will be; None until the kit is there."""
        if self.kit is None:
            return None
        if kernel not in self._archives:
            self._archives[kernel] = self._cache / "initramfs" / f"{initramfs.identity(self.kit, kernel)}.cpio"
        return self._archives[kernel]

    def pack_initramfs(self, kernel: Kernel) -> None:
        """Write a kernel's initramfs; raises BpfcompatError, OSError."""
        target = self.initramfs(kernel)
        if target and self.kit:
            atomic.write(target, initramfs.pack(self.kit, kernel))

    @property
    def tools_disk(self) -> Path | None:
        """Where the disk of the guests' tools is, or will be; None until the kit is there."""
        return self._cache / "tools" / f"{tools.identity(self.kit)}.ext4" if self.kit else None

    def pack_tools(self) -> None:
        """Make the disk of the guests' tools; raises BpfcompatError."""
        if self.kit and self.tools_disk:
            tools.pack(self.kit, self.tools_disk)

    @functools.cached_property
    def _source(self) -> Path | None:
        """The project's own userland as a folder or an archive; an image is fetched when that is asked for first."""
        if isinstance(self._named, str):
            return image.archive(self._named, self.guest, self._cache, offline=self._offline)
        return self._named

    def forget_rootfs(self) -> None:
        """Drop what the name of an image stood for, so that the next run asks its registry again."""
        if isinstance(self._named, str):
            image.forget(self._named, self.guest, self._cache)

    @functools.cached_property
    def rootfs(self) -> rootfs.Rootfs | None:
        """The project's own userland, if it has one; raises BpfcompatError for one that cannot be read."""
        found = rootfs.find(self._source, self._cache) if self._source else None
        if found:
            rootfs.use(self._cache, found)
        return found

    def put_rootfs(self, identity: str | None) -> None:
        """Have the guests run on a userland whose disk is in the cache already."""
        self.rootfs = rootfs.Rootfs(identity, {}) if identity else None

    @property
    def rootfs_disk(self) -> Path | None:
        """Where the disk of that userland is, or will be; raises BpfcompatError."""
        return rootfs.disk_path(self._cache, self.rootfs) if self.rootfs else None

    def pack_rootfs(self) -> None:
        """Make that disk; raises BpfcompatError, OSError."""
        if self._source and self.rootfs:
            rootfs.pack(self._source, self.rootfs, self._cache)
            rootfs.prune(self._cache, host.boot_images_bytes(), keep=self.rootfs_disk)

    def validator(self, check: Check) -> Path | None:
        """Return where the validator is, or will be, if a check needs it and the kit is there; raises BpfcompatError."""
        return validator.path(self.kit, self._cache) if check.validation and self.kit else None

    def examiner(self, check: Check) -> Path | None:
        """Return the validator as a program of this machine, if a check needs it; raises BpfcompatError."""
        if self.guest is architecture.host() or not check.validation:
            return self.validator(check)
        return kit.made(self._cache, lambda _: None, architecture.host()).validator

    def build_validator(self) -> None:
        """Compile the validator with the user's own libbpf, unless that is done or nobody asks for it; raises BpfcompatError."""
        target = validator.path(self.kit, self._cache) if self.kit else None
        if target and not target.exists():
            validator.compile_own(target)

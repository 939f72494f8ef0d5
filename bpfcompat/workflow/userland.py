"""What every guest of a run is made of beside its kernel: init, initramfs, tools, and a userland of the project's own."""

from __future__ import annotations

import functools
from pathlib import Path

from bpfcompat.guest import build, initramfs, preflight, rootfs, tools, validator
from bpfcompat.model import Check, Kernel
from bpfcompat.system import atomic


class Userland:
    """The parts of the guests of one run, each built once for all. Methods are called from several threads."""

    def __init__(self, cache: Path, rootfs: Path | None) -> None:
        """Nothing is read yet.

        rootfs: the project's own userland, a folder or an archive.
        """
        self._cache = cache
        self._source = rootfs
        self._identities: dict[str, str] = {}

    @functools.cached_property
    def init(self) -> Path:
        """Where the compiled init is, or will be."""
        return build.init_path(self._cache)

    def build_init(self) -> None:
        """Compile init; raises BpfcompatError."""
        build.compile_init(self.init)

    def loader_finds(self) -> preflight.Userland:
        """Return what a loader finds in the guests; raises BpfcompatError."""
        return preflight.Userland(lambda: build.programs(build.userland(self._cache).busybox), self.rootfs)

    @functools.cached_property
    def _userland(self) -> dict[str, str]:
        return build.userland(self._cache).digests()

    def initramfs_identity(self, kernel: Kernel) -> str | None:
        """Return what a kernel's initramfs is known by; None until init is there."""
        if kernel.modules_sha256 not in self._identities:
            if not self.init.exists():
                return None
            self._identities[kernel.modules_sha256] = initramfs.identity(self._userland, kernel.modules_sha256)
        return self._identities[kernel.modules_sha256]

    def initramfs(self, kernel: Kernel) -> Path | None:
        """Return where a kernel's initramfs is, or will be; None until init is there."""
        identity = self.initramfs_identity(kernel)
        return self._cache / "initramfs" / f"{identity}.cpio" if identity else None

    def pack_initramfs(self, kernel: Kernel) -> None:
        """Write a kernel's initramfs; raises BpfcompatError, OSError."""
        target = self.initramfs(kernel)
        if target:
            userland = build.userland(self._cache)
            atomic.write(target, initramfs.pack(userland, build.applets(userland.busybox), kernel.modules))

    @functools.cached_property
    def tools(self) -> tools.Tools:
        """The programs that every guest has; raises BpfcompatError."""
        return tools.find(self._cache)

    @property
    def tools_disk(self) -> Path:
        """Where the disk of the guests' tools is, or will be; raises BpfcompatError."""
        return self._cache / "tools" / f"{self.tools.identity}.ext4"

    def pack_tools(self) -> None:
        """Make the disk of the guests' tools; raises BpfcompatError."""
        tools.pack(self.tools, self.tools_disk)

    @functools.cached_property
    def rootfs(self) -> rootfs.Rootfs | None:
        """The project's own userland, if it has one; raises BpfcompatError for one that cannot be read."""
        return rootfs.find(self._source, self._cache) if self._source else None

    @property
    def rootfs_disk(self) -> Path | None:
        """Where the disk of that userland is, or will be; raises BpfcompatError."""
        return rootfs.disk_path(self._cache, self.rootfs) if self.rootfs else None

    def pack_rootfs(self) -> None:
        """Make that disk; raises BpfcompatError, OSError."""
        if self._source and self.rootfs:
            rootfs.pack(self._source, self.rootfs, self._cache)

    def validator(self, check: Check) -> Path | None:
        """Return where the compiled validator is, or will be, if a check needs it; raises BpfcompatError without a libbpf."""
        return validator.path(self._cache) if check.validation else None

    def build_validator(self) -> None:
        """Compile the validator of objects, unless that is done; raises BpfcompatError."""
        target = validator.path(self._cache)
        if not target.exists():
            validator.compile_validator(target)

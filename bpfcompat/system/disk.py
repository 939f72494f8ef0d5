"""Read-only ext4 images of folders, for guests: virtio disks of a fixed virtual size, sparse on the host."""

from __future__ import annotations

from pathlib import Path

from bpfcompat.errors import BpfcompatError
from bpfcompat.system import host, processes


def make(tree: Path, image: Path, mib: int) -> None:
    """Write an image of everything below a folder; raises BpfcompatError if it cannot be made.

    mib: its virtual size.
    """
    # Without the lazy tables and without a journal it is small and quick to write: 35 ms for 9 MB.
    processes.check(
        [
            host.program("mke2fs"), "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-O", "^has_journal,^resize_inode",
            "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", "-d", str(tree), str(image), f"{mib}M",
        ],
        doing=f"making the disk {image.name}",
        hint=f"its files must fit into {mib} MiB",
    )  # fmt: skip


def unpack(image: Path, tree: Path) -> None:
    """Copy everything in an image below a new folder; raises BpfcompatError.

    debugfs ends with 0 whatever happens, so what it says decides.
    """
    tree.mkdir()
    said = processes.run([host.program("debugfs"), "-R", f'rdump / "{tree}"', str(image)])
    problems = [line for line in said.stderr.decode(errors="replace").splitlines() if not line.startswith("debugfs ")]
    if said.returncode or problems:
        raise BpfcompatError(f"the disk {image.name} cannot be unpacked: {' '.join(problems) or said.returncode}.")

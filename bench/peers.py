"""virtme-ng doing the same: the same loader on the same kernel, on the same machine, in the same run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.measure import Row, in_turns, run
from bench.scenes import changed_loader, tool, write_project
from bpfcompat.kernels.sources import Asked, apt
from bpfcompat.model import Profile
from bpfcompat.system import host

KERNEL = "bookworm/linux-image-amd64"
"""Debian's full 6.1: virtme-ng needs 9p, which the cloud kernels do not have."""


def virtme_ng(folder: Path, repeat: int) -> list[Row]:
    """Compare with virtme-ng, without KVM on both sides if there is none."""
    calls = side_by_side(folder)
    if not calls:
        return []
    found = in_turns(calls, min(repeat, 3))
    ratios = tuple(slow / fast for slow, fast in zip(found["theirs"], found["ours"], strict=True))
    return [
        Row("full 6.1 kernel, loader, bpfcompat, warm", found["ours"]),
        Row("full 6.1 kernel, loader, bpfcompat, cold", found["ours, cold"]),
        Row("full 6.1 kernel, loader, virtme-ng", found["theirs"]),
        Row("virtme-ng against warm", ratios, "times", 20, more_is_better=True),
    ]


def side_by_side(folder: Path) -> dict[str, Callable[[], float]]:
    """Return what runs a changed loader on one kernel, by our tool and by virtme-ng, each in seconds; nothing if that is not to be had."""
    prepared = _prepare(folder)
    if prepared is None:
        return {}
    vng, image = prepared
    profile = Profile("full-6.1", f"apt:{KERNEL}")
    write_project(folder, (profile,))

    def ours(*flags: str) -> float:
        changed_loader(folder)
        return tool(folder, *flags)

    def theirs() -> float:
        log, loader = folder / "vng.log", changed_loader(folder)
        flags: list[str | Path] = ["--disable-kvm", "--force-9p", "--verbose", "--user", "root", "--run", image]
        # Its exit status is 255 whatever ran (1.42, without virtio-serial), so its words must do.
        ran = run(
            [vng, *flags, "--", loader, "--self-test"], folder, log, PATH=f"{vng.parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        if b"one event received" not in log.read_bytes():
            raise SystemExit(f"bench: virtme-ng did not run the loader:\n{log.read_text(errors='replace')[-2000:]}")
        return ran.seconds

    ours()
    return {"ours": ours, "ours, cold": lambda: ours("--cold"), "theirs": theirs}


def _prepare(folder: Path) -> tuple[Path, Path] | None:
    """Install virtme-ng into an environment of its own, and unpack the kernel for it."""
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    installed = subprocess.run([environment / "bin" / "pip", "install", "--quiet", "virtme-ng"], check=False)
    if installed.returncode or not shutil.which("depmod", path="/usr/sbin:/sbin"):
        print("bench: no comparison: virtme-ng (from PyPI) or depmod (kmod) is not there", file=sys.stderr)
        return None
    tree = folder / "kernel"
    tree.mkdir()
    fetched = apt.fetch(Asked(KERNEL, Profile("full-6.1", f"apt:{KERNEL}"), host.cache_folder(), tree))
    assert fetched.modules
    root = next(parent for parent in fetched.modules.parents if (parent / "lib" / "modules").is_dir())
    subprocess.run(["/usr/sbin/depmod", "-b", root, fetched.modules.name], check=True)
    return environment / "bin" / "vng", fetched.image


ALL = (virtme_ng,)

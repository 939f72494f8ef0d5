"""What this machine has for the work, and what it lacks: a line each, with the exact command that mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

from bpfcompat import architecture, kernels
from bpfcompat.dataclass import dataclass
from bpfcompat.errors import BpfcompatError
from bpfcompat.guest import kit
from bpfcompat.kernels import lock, sources
from bpfcompat.model import Project
from bpfcompat.system import host
from bpfcompat.vm import BOARDS, Machine, accelerator
from bpfcompat.workflow.machines import Machines

_DISK_LOW = 2 << 30
_OPTIONAL = (
    ("skopeo", "oci: kernels"), ("bsdtar", "rpm: and pkg: kernels and those of rpm-md vendors, like almalinux:9"),
    ("dnf", "kernels of rpm-md vendors"), ("rpmkeys", "their signatures, and `key:`"),
)  # fmt: skip
"""Programs that only some kernels need."""


class Health(str, Enum):
    """How something is: `lacking` keeps the project from running, `note` does not."""

    OK = "ok"
    NOTE = "note"
    LACKING = "lacking"


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    what: str
    health: Health
    said: str
    hint: str = ""
    """The command to run, or the line to change."""


def examine(project: Project | None, cache: Path) -> Iterator[Finding]:
    """Yield what was found out; nothing is fetched, and nothing booted but one kernel of the project's, to try KVM.

    project: whose kernels are looked at as well.
    """
    yield from _emulators(project)
    yield _accelerator(project, cache)
    yield _tried("disks", lambda: host.program("mke2fs"))
    own = architecture.host().name
    for name in dict.fromkeys([own, *sorted(_architectures(project))]):
        yield _tried("kit" if name == own else f"kit for {name}", lambda name=name: _kit(cache, name))  # type: ignore[misc]
    for name, why in _OPTIONAL:
        yield _optional(name, why)
    yield _archive(cache)
    yield _memory(project)
    yield _space(cache)
    if project:
        yield from _kernels(project, cache)


def _tried(what: str, attempt: Callable[[], str], lacking: Health = Health.LACKING) -> Finding:
    try:
        return Finding(what, Health.OK, attempt())
    except BpfcompatError as error:
        return Finding(what, lacking, error.message, error.hint)
    except OSError as error:
        return Finding(what, lacking, f"{error.filename}: {error.strerror}.")


def _architectures(project: Project | None) -> set[str]:
    """Return the architectures of a project's kernels, by name."""
    return {architecture.of(profile.arch).name for profile in project.matrix.profiles} if project else set()


def _emulators(project: Project | None) -> Iterator[Finding]:
    """Yield a line for each emulator: those of other architectures are needed where the project has kernels of them."""
    wanted = _architectures(project) or {architecture.host().name}
    for name, board in BOARDS.items():
        what = "QEMU" if name == architecture.host().name else f"QEMU for {name}"
        needed = name in wanted
        found = _tried(what, lambda program=board.program: f"{host.program(program)}, {host.qemu_version(program)}")  # type: ignore[misc]
        if needed or found.health is Health.OK:
            yield found
        else:
            yield Finding(what, Health.NOTE, f"not installed; needed for kernels of {name}", found.hint)


def _optional(name: str, why: str) -> Finding:
    found = _tried(name, lambda: host.program(name), Health.NOTE)
    return (
        found
        if found.health is Health.OK
        else Finding(name, found.health, f"not installed; needed for {why}", found.hint)
    )


def _kit(cache: Path, name: str) -> str:
    found = kit.find(cache, architecture.of(name))
    if found is None:
        return "not built yet; the first run does that, with a compiler that it fetches"
    return f"{found.identity[:12]}: init, validator, bash, busybox and {', '.join(Path(name).name for name in found.programs)}"


def _accelerator(project: Project | None, cache: Path) -> Finding:
    try:
        found = accelerator.known(project.accelerator if project else "auto", cache)
    except BpfcompatError as error:
        return Finding("accelerator", Health.LACKING, error.message, error.hint)
    machine = _to_probe(project, cache) if project and project.accelerator != "tcg" and accelerator.is_there() else None
    if machine:
        return _speeds(machine, cache)
    if found is None:
        return Finding("accelerator", Health.NOTE, "not tried yet: the first run finds out whether KVM works here")
    if found.name == "kvm":
        return Finding("accelerator", Health.OK, "KVM")
    return Finding("accelerator", Health.NOTE, f"software emulation: {found.reason or 'as the project says'}")


def _to_probe(project: Project, cache: Path) -> Machine | None:
    machines = Machines(project, cache, offline=True)
    try:
        return machines.to_probe() if machines.userland(architecture.host().name).kit else None
    except BpfcompatError:
        return None  # what is wrong with the kernels is told in their own lines


def _speeds(machine: Machine, cache: Path) -> Finding:
    """Return what came of trying KVM anew: what was remembered may be of a busier hour."""
    found = accelerator.measure(machine, compare=True, always=True)
    accelerator.remember(found, cache)
    emulated = f"{found.tcg:.1f} s" if found.tcg is not None else "no time: it does not come up"
    if found.kvm is None:
        said = f"software emulation, in which a machine boots in {emulated}; KVM does not work: {found.failure}"
    else:
        word = {"kvm": "KVM", "tcg": "software emulation"}[found.chosen.name]
        said = f"{word}: a machine boots in {found.kvm:.1f} s with KVM, emulated in {emulated}"
    return Finding("accelerator", Health.OK if found.chosen.name == "kvm" else Health.NOTE, said)


def _archive(cache: Path) -> Finding:
    if not shutil.which("apt-get"):
        return Finding("apt", Health.NOTE, "not installed; needed for apt: kernels")
    return _tried("apt", lambda: sources.load("apt").described(cache), Health.NOTE)


def _memory(project: Project | None) -> Finding:
    largest = max((profile.memory for profile in project.matrix.profiles), default=512) if project else 512
    free, at_once = host.memory_available_mib(), host.jobs(largest)
    said = f"{free:,} MiB free, {host.processors()} processors: {at_once} machines of {largest} MiB at once"
    if free < largest + 128:
        return Finding("memory", Health.LACKING, said, "write `memory: 256M` in the profile, or end something else")
    return Finding("memory", Health.OK, said)


def _space(cache: Path) -> Finding:
    there = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(there).free
    said = f"{free / 1e9:,.1f} GB free for {cache}"
    if free < _DISK_LOW:
        return Finding("disk", Health.NOTE, said, "bpfcompat cache prune --to 500M, or set BPFCOMPAT_CACHE")
    return Finding("disk", Health.OK, said)


def _kernels(project: Project, cache: Path) -> Iterator[Finding]:
    try:
        locks = lock.read(project.lock)
    except BpfcompatError as error:
        yield Finding("lock file", Health.LACKING, error.message, error.hint)
        return
    for profile in project.matrix.profiles:
        what, locked = f"kernel {profile.id}", locks.get(profile.id)
        kernel = kernels.pinned(profile, cache, locked)
        if kernel:
            modules = "" if kernel.modules_disk else ", without modules"
            yield Finding(what, Health.OK, f"{kernel.release}{', locked' if locked else ''}{modules}")
        elif profile.kernel.startswith("path:") and not (profile.root / profile.kernel[5:]).is_file():
            yield Finding(what, Health.LACKING, f"there is no {profile.root / profile.kernel[5:]}.", "build it")
        else:
            yield Finding(
                what, Health.NOTE, "not fetched yet; the first run does that", f"bpfcompat kernels fetch {profile.id}"
            )

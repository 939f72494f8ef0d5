"""Profile -> kernel in the store: asks the source that a kernel's name names, or the store alone."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import ModuleType

from bpfcompat import architecture
from bpfcompat.architecture import AMD64, Architecture
from bpfcompat.errors import BpfcompatError, NoVerdict
from bpfcompat.kernels import headers, sources, store
from bpfcompat.kernels.lock import Locked
from bpfcompat.kernels.sources import Asked
from bpfcompat.kernels.vendors import rows
from bpfcompat.model import Kernel, Profile
from bpfcompat.outcome import Classification
from bpfcompat.system import scratch


def refuse_foreign(name: str, own: str = "") -> None:
    """Raise BpfcompatError for a name that is of no kind of source that there is, and of no vendor that is known.

    own: the row of the project's own that the name's vendor is, as JSON.
    """
    kind, _, rest = name.partition(":")
    if own or kind in rows.table():
        rows.find(name, own)
        return
    if kind in sources.names() and (rest or kind == "host"):
        return
    import difflib  # for mistakes only

    known = [*sources.names(), *rows.table()]
    close = [other for other in difflib.get_close_matches(kind, known, n=1) if rest and other != kind]
    kinds = ", ".join(other if other == "host" else f"{other}:..." for other in sources.names())
    raise BpfcompatError(
        f"'{name}' does not name a kernel.",
        f"did you mean '{close[0]}:{rest}'?"
        if close
        else f"write one of {kinds}, or a vendor's, for instance almalinux:9; `bpfcompat kernels vendors` lists them",
    )


def refuse_unknown_architecture(name: str, own: str, guest: Architecture) -> None:
    """Raise BpfcompatError if no kernel of an architecture is known by a name.

    own: the row of the project's own that the name's vendor is, as JSON.
    """
    if guest is not AMD64 and (own or is_vendor(name.partition(":")[0])):
        raise BpfcompatError(
            f"vendors' kernels are known for {AMD64.name} only, not for {guest.name}.",
            f"write `arch: {AMD64.name}`, or name a package for {guest.name} with `apt:`, `deb:` or `rpm:`",
        )


def is_taken(name: str) -> bool:
    """Tell whether a name is that of a kind of source, or of a vendor in the table."""
    return name in sources.names() or name in rows.table()


def is_vendor(kind: str) -> bool:
    """Tell whether a kernel of that kind comes out of a vendor's repository."""
    return kind not in sources.names()


def _source(kind: str, own: str = "") -> ModuleType:
    if not own and kind in sources.names():
        return sources.load(kind)
    from bpfcompat.kernels.vendors import fetching

    return fetching


def _split(profile: Profile, *, asked: bool = False) -> tuple[ModuleType, str]:
    """Return a kernel's source, and what stands behind the colon.

    asked: the source is to be asked for the kernel.
    Raises NoVerdict.
    """
    kind, _, rest = profile.kernel.partition(":")
    try:
        refuse_foreign(profile.kernel, profile.vendor)
        if asked:
            refuse_unknown_architecture(profile.kernel, profile.vendor, architecture.of(profile.arch))
    except BpfcompatError as error:
        raise NoVerdict(Classification.KERNEL_UNAVAILABLE, error.message, error.hint) from error
    return _source(kind, profile.vendor), rest


def _is_local(source: ModuleType) -> bool:
    return getattr(source, "LOCAL", False)


def address(profile: Profile) -> str:
    """Return what a kernel's resolution is remembered under: its name, with paths made absolute.

    The architecture stands there where it is not this machine's and the name itself does not say it.
    """
    source, _ = _split(profile)
    guest = architecture.of(profile.arch)
    named = architecture.named(profile.kernel) if profile.kernel.startswith("apt:") else None
    told = guest in (architecture.host(), named)
    mark = "" if told else f"|{guest.name}"
    if not _is_local(source):
        return "|".join([profile.kernel, *([profile.vendor] if profile.vendor else []), *profile.keys]) + mark
    said = [profile.kernel, str(profile.root), "\n".join(profile.modules), profile.config or ""]
    return (
        "|".join([*said, *(["\n".join([*profile.sha256, *profile.keys])] if profile.sha256 or profile.keys else [])])
        + mark
    )


def has_headers(name: str) -> bool:
    """Tell whether a kernel of that name can come with its headers."""
    return hasattr(_source(name.partition(":")[0]), "headers")


def pinned(profile: Profile, cache: Path, locked: Locked | None = None) -> Kernel | None:
    """Return the kernel that `profile` was last resolved to, or is locked to, if it is whole in the store; reads no image."""
    found = _pinned(profile, cache, locked)
    return headers.as_asked(found, profile) if found else None


def _pinned(profile: Profile, cache: Path, locked: Locked | None) -> Kernel | None:
    if locked is None:
        return store.pinned(cache, address(profile))
    source, _ = _split(profile)
    if not _is_local(source):
        return store.held(cache, profile.kernel, locked.version, locked.image_sha256, locked.modules_sha256)
    found = store.pinned(cache, address(profile))
    return found if found and locked.holds(found) else None


def renewed(profile: Profile, cache: Path, locked: Locked | None = None) -> Kernel | None:
    """Return the kernel that `pinned` would, if an earlier version stored it: laid out anew, and not fetched; raises NoVerdict."""
    pins = [address(profile), *([f"{address(profile)}|{locked.version}"] if locked else [])]
    found = (store.renewed(cache, pin) for pin in pins)
    kernel = next((kernel for kernel in found if kernel and (locked is None or locked.holds(kernel))), None)
    return headers.as_asked(kernel, profile) if kernel else None


def fetch(profile: Profile, cache: Path, *, offline: bool = False, locked: Locked | None = None) -> Kernel:
    """Bring a profile's kernel into the store: the newest that its name stands for, or the one that it is locked to.

    Raises NoVerdict (KERNEL_UNAVAILABLE) with what to do.
    """
    if not profile.headers:
        return headers.without(_fetched(profile, cache, offline=offline, locked=locked))
    known = _pinned(profile, cache, locked)
    if known:
        try:
            return _with_headers(known, profile, cache, offline=offline)
        except (
            NoVerdict
        ):  # the archive may have the headers of a newer kernel only, which is as good where none is locked
            if locked or offline:
                raise
    return _with_headers(_fetched(profile, cache, offline=offline, locked=locked), profile, cache, offline=offline)


def _with_headers(kernel: Kernel, profile: Profile, cache: Path, *, offline: bool) -> Kernel:
    """Return a kernel with its headers, which are brought if need be; raises NoVerdict."""
    if kernel.headers_disk:
        return kernel
    if not kernel.has_disks:
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE, "this kernel cannot mount disks, so it cannot have its headers.",
            "take another kernel, or its modules with it",
        )  # fmt: skip
    source, rest = _split(profile)
    if offline:
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"the headers of {kernel.version} are not in the kernel store, and --offline forbids fetching them.",
            "run once without --offline",
        )
    with _working_folder(cache) as folder:
        tree = source.headers(Asked(rest, profile, cache, folder), kernel.release, kernel.version)
        return headers.keep(kernel, tree)


def _fetched(profile: Profile, cache: Path, *, offline: bool, locked: Locked | None) -> Kernel:
    source, rest = _split(profile, asked=True)
    if offline and not _is_local(source):
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"{profile.kernel} is not in the kernel store, and --offline forbids fetching it.",
            "run once without --offline",
        )
    exact = getattr(source, "exact", None) if locked else None
    by_lock = getattr(source, "locked", None) if locked and locked.packages else None
    try:
        with _working_folder(cache) as folder:
            asked = Asked(exact(rest, locked.version) if exact and locked else rest, profile, cache, folder)
            pin = f"{address(profile)}|{locked.version}" if (exact or by_lock) and locked else address(profile)
            found = by_lock(asked, locked) if by_lock else source.fetch(asked)
            kernel = store.add(cache, pin, profile.kernel, found, architecture.of(profile.arch))
    except NoVerdict as error:
        if locked is None:
            raise
        raise _vanished(profile, cache, locked, error) from error
    if locked and not locked.holds(kernel):
        raise NoVerdict(
            Classification.KERNEL_UNAVAILABLE,
            f"{profile.kernel} is not what it is locked to ({locked.version}) any more.",
            f"bpfcompat kernels update {profile.id}",
        )
    return kernel


def _working_folder(cache: Path) -> contextlib.AbstractContextManager[Path]:
    return scratch.folder(cache / "tmp", scratch.unique("kernel"))


def newest(profile: Profile, cache: Path) -> str | None:
    """Return the version that a profile's source would bring now; None if that cannot be told without fetching it.

    Raises NoVerdict if the source cannot be asked.
    """
    source, rest = _split(profile, asked=True)
    resolve = getattr(source, "resolve", None)
    if resolve is None:
        return None
    with _working_folder(cache) as folder:
        return str(resolve(Asked(rest, profile, cache, folder)))


def _vanished(profile: Profile, cache: Path, locked: Locked, error: NoVerdict) -> NoVerdict:
    """Return why a locked kernel is not to be had, and what there is instead."""
    message, now = f"{profile.kernel} is locked to {locked.version}: {error.message}", None
    with contextlib.suppress(NoVerdict):
        now = newest(profile, cache)
    if now and now != locked.version:
        return NoVerdict(
            error.classification, f"{message} There is {now} now.", f"bpfcompat kernels update {profile.id}"
        )
    return NoVerdict(error.classification, message, error.hint)


def use(kernel: Kernel) -> None:
    """Remember that a kernel was booted just now: what was not for long can be pruned."""
    store.use(kernel)


def forget(profile: Profile, cache: Path) -> None:
    """Drop what `profile` was resolved to, so that the next run asks its source again."""
    store.unpin(cache, address(profile))

"""How an object is tried that has no loader of its own, as frozen data."""

from __future__ import annotations

from bpfcompat.dataclass import dataclass


@dataclass(frozen=True)
class FunctionalTest:
    """A command that is run while an object's programs are attached."""

    name: str
    command: str
    required: bool = True
    timeout: float = 30.0
    """Seconds."""
    exit: int = 0
    stdout_contains: str = ""
    stderr_contains: str = ""


@dataclass(frozen=True)
class MapFixup:
    """What a project's own loader decides about a map before it loads the object."""

    name: str
    max_entries: str | None = None
    """A number, or `cpus` for the number of possible processors."""
    inner: tuple[int, int, int, int] | None = None
    """Of a map of maps: type, key bytes, value bytes and entries of the maps in it."""


@dataclass(frozen=True)
class ProgramChoice:
    """What is said about one program of an object."""

    name: str
    section: str | None = None
    """As it must be in the object; None means whatever it is."""
    type: int | None = None
    load: bool | None = None
    """None means as the object has it."""
    attach: str | None = None
    """KIND,TARGET, for a program whose section names nothing."""
    attach_required: bool = True
    attach_type: int | None = None
    """The way to attach that goes with the type."""


@dataclass(frozen=True)
class Variant:
    """One of several programs for the same thing; of each group the first that a kernel can use is loaded."""

    group: str
    program: str
    helper: int | None = None
    """It is usable where programs of its type may call this helper."""
    trial: bool = False
    """It is usable where it can be loaded alone."""


@dataclass(frozen=True)
class Validation:
    """How an object is tried by the validator, where there is no command that loads it."""

    mode: str = "load_attach"
    """load_only, load_attach, or behavior, which also runs the tests."""
    maps: tuple[MapFixup, ...] = ()
    programs: tuple[ProgramChoice, ...] = ()
    variants: tuple[Variant, ...] = ()
    companions: tuple[str, ...] = ()
    """Programs that have to be loaded with any other that is loaded alone."""
    tests: tuple[FunctionalTest, ...] = ()
    guest_modules: tuple[str, ...] = ()
    """Kernel modules that are loaded before the object."""

    @property
    def may_stay_unattached(self) -> frozenset[str]:
        """The names of the programs whose failure to attach does not count."""
        return frozenset(choice.name for choice in self.programs if not choice.attach_required)

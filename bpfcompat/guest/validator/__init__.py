"""The validator: a program of the kit, shipped with an object, and asked here what the object is."""

from __future__ import annotations

import functools
import os
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bpfcompat import architecture
from bpfcompat.errors import BpfcompatError, NoVerdict, did_you_mean
from bpfcompat.guest.kit import Kit
from bpfcompat.outcome import Classification
from bpfcompat.system import digest, host, processes

if TYPE_CHECKING:
    from bpfcompat.validation import Validation
    from bpfcompat.verdict import findings

SOURCES = Path(__file__).parent
FLAGS = ("-static", "-Os", "-s", "-Wall", "-Wextra")
LINKED = ("-Wl,--wrap=syscall",)
"""How it hears what libbpf asks the kernel (asked.c)."""
LIBBPF_VARIABLE = "BPFCOMPAT_LIBBPF"
OBJECT_BYTES_AT_MOST = 256 << 20
_HEADER_BYTES = 64
_MENDED = {
    "legacy map definitions": 'declare its maps in SEC(".maps"), as libbpf 1.0 and newer want it; or try its own loader instead',
    "BTF is required": "compile it with -g, which makes BTF of its maps and externs",
}
"""What to do about what libbpf says of an object that it does not open."""
_64_BIT_LITTLE_ENDIAN = b"\x02\x01"
_ET_REL, _EM_BPF = 1, 247
_HINT = f"remove {LIBBPF_VARIABLE}, or give it what it needs: apt-get install gcc libc6-dev libelf-dev zlib1g-dev"


def _prefix() -> Path | None:
    """Return the folder below which a libbpf of the user's own has include/ and lib/ or lib64/."""
    chosen = os.environ.get(LIBBPF_VARIABLE)
    return Path(chosen) if chosen else None


def library(name: str) -> Path:
    """Return a static library; raises BpfcompatError if it is not there."""
    prefix = _prefix() if name == "bpf" else None
    own = [prefix / folder for folder in ("lib", "lib64", "usr/lib", "usr/lib64")] if prefix else []
    folders = own or [Path("/usr/lib", architecture.host().triplet), Path("/usr/lib64"), Path("/usr/lib")]
    found = next((folder / f"lib{name}.a" for folder in folders if (folder / f"lib{name}.a").is_file()), None)
    if found is None:
        where = f"below {prefix} ({LIBBPF_VARIABLE})" if own else "on this machine"
        raise BpfcompatError(f"there is no lib{name}.a {where}, which the validator of objects is built with.", _HINT)
    return found


def path(kit: Kit, cache: Path) -> Path:
    """Return where the validator is, or will be: in the kit, or compiled here where the user has a libbpf of their own.

    Raises BpfcompatError if that libbpf is not there.
    """
    if not _prefix():
        return kit.validator
    if kit.architecture is not architecture.host():
        raise BpfcompatError(
            f"{LIBBPF_VARIABLE} builds the validator for this machine, and not for {kit.architecture.name}.",
            f"unset {LIBBPF_VARIABLE}, or take profiles of {architecture.host().name} only",
        )
    return _own_path(cache)


@functools.cache
def _own_path(cache: Path) -> Path:
    sources = [part.read_text() for part in sorted(SOURCES.glob("*.[ch]"))]
    parts = [*sources, FLAGS, digest.of_file(library("bpf")), digest.of_file(library("elf"))]
    return cache / "guest" / f"validator-{digest.of_json(parts)[:32]}"


def compile_own(target: Path) -> None:
    """Compile the validator with the user's libbpf; raises BpfcompatError with the compiler's words."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = _prefix() or Path("/usr")
    # libelf from 0.189 on can be built with zstd, and then a static link needs it, too.
    zstd = ["-lzstd"] if (library("elf").parent / "libzstd.a").is_file() else []
    headers = [f"-I{prefix / folder}" for folder in ("include", "usr/include")]
    with tempfile.TemporaryDirectory(prefix=".validator.", dir=target.parent) as folder:
        built = Path(folder) / "validator"
        processes.check(
            [
                host.program("gcc"), *FLAGS, *LINKED, *headers, "-o", str(built), str(SOURCES / "main.c"), str(library("bpf")),
                "-lelf", "-lz", *zstd,
            ],
            doing=f"compiling the validator with {LIBBPF_VARIABLE}",
            hint=_HINT,
        )  # fmt: skip
        built.replace(target)


def refuse_foreign(path: Path, content: Path) -> None:
    """Raise NoVerdict (LOADER_NOT_RUNNABLE) for what is no BPF object, as far as its header tells.

    path: as the user named it.
    content: the file to read, which may be a copy.
    """
    size = content.stat().st_size
    with content.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if not head:
        raise _refusal(path, "is empty", "build it again")
    if head[:4] != b"\x7fELF":
        raise _refusal(path, "is not an ELF file", "name the .bpf.o that clang makes")
    if size > OBJECT_BYTES_AT_MOST:
        raise _refusal(path, f"has {size >> 20} MiB, which no BPF object has", "name the .bpf.o that clang makes")
    if len(head) < _HEADER_BYTES or head[4:6] != _64_BIT_LITTLE_ENDIAN:
        raise _refusal(path, "is not a whole little-endian object file", "compile it with clang -target bpf -c")
    # Read by hand, as a run of stored verdicts does it too: importing pyelftools takes longer than such a run.
    kind, machine = struct.unpack_from("<HH", head, 16)
    if machine != _EM_BPF:
        raise _refusal(
            path, f"is made for another machine (e_machine {machine}), not for BPF", "compile it with clang -target bpf"
        )
    if kind != _ET_REL:
        raise _refusal(path, "is not an object file", "compile it with clang -target bpf -c")


def check_object(path: Path, content: Path, validation: Validation, program: Path) -> None:
    """Have libbpf open an object here, which needs no kernel, before any boot.

    program: the compiled validator.
    Raises NoVerdict (LOADER_NOT_RUNNABLE) for an object that libbpf cannot open or does not know all sections of, and
    BpfcompatError for a manifest that names what is not in it.
    """
    from bpfcompat.verdict import findings  # only an object needs it, and not every run has one

    refuse_foreign(path, content)
    result = processes.run([str(program), "--mode", "open", str(content)], confined=True)
    said = [line for line in result.stderr.decode(errors="replace").splitlines() if line.strip()]
    try:
        found = findings.readable(result.stdout)
    except ValueError:
        raise _refusal(
            path, f"cannot be examined: {said[-1] if said else result.returncode}", "build it again"
        ) from None
    if crash := findings.crash(found):
        raise _refusal(path, crash, "build it again")
    if found["open_errno"]:
        why = said[0].removeprefix("libbpf: ") if said else os.strerror(found["open_errno"])
        mended = next((how for words, how in _MENDED.items() if words in why), "build it again")
        raise _refusal(path, f"cannot be opened by libbpf {found['libbpf']} ({why})", mended)
    if not found["programs"] and not found["maps"]:
        raise _refusal(
            path, "has neither a program nor a map in it", 'give a function a section: SEC("tracepoint/...")'
        )
    _check_names(path, found, validation)
    told = {choice.name for choice in validation.programs if choice.type is not None}
    for one in found["programs"]:
        if one["type"] == "unspec" and one["wanted"] and one["name"] not in told:
            raise _refusal(
                path,
                f"has a program '{one['name']}' in the section '{one['section']}', which libbpf {found['libbpf']} does not know",
                f"say its `type:` in a manifest, or build with a newer libbpf: export {LIBBPF_VARIABLE}=PREFIX",
            )


def _check_names(path: Path, found: findings.Findings, validation: Validation) -> None:
    """Raise BpfcompatError for a name that a manifest has and the object has not."""
    sections = {one["name"]: one["section"] for one in found["programs"]}
    programs = [choice.name for choice in validation.programs]
    programs += [*(variant.program for variant in validation.variants), *validation.companions]
    for kind, names, known in (
        ("program", programs, list(sections)),
        ("map", [fixup.name for fixup in validation.maps], [one["name"] for one in found["maps"]]),
    ):
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known, f"it has: {', '.join(known[:20]) or 'none'}")
                raise BpfcompatError(f"the manifest names a {kind} '{name}', which {path} does not have.", hint)
    for choice in validation.programs:
        if choice.section and choice.section != sections[choice.name]:
            raise BpfcompatError(
                f"the manifest says that '{choice.name}' is in the section '{choice.section}', and in {path} it is in"
                f" '{sections[choice.name]}'.",
                f"write `section: {sections[choice.name]}`",
            )


def _refusal(path: Path, why: str, hint: str) -> NoVerdict:
    return NoVerdict(Classification.LOADER_NOT_RUNNABLE, f"{path} can be loaded into no kernel: it {why}.", hint)

"""What is said about an object in a manifest, and the command line that tells the validator."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bpfcompat.errors import BpfcompatError, did_you_mean
from bpfcompat.guest import VALIDATOR
from bpfcompat.project import document, matrix, schema
from bpfcompat.project.document import Document, Location
from bpfcompat.validation import FunctionalTest, MapFixup, ProgramChoice, Validation, Variant
from bpfcompat.verdict import bpf

MODES = ("load_only", "load_attach", "behavior")
_RINGBUF = 27
_KINDS = {"symbol": ("kprobe", "kretprobe"), "category": ("tracepoint",), "name": ("tracepoint", "raw_tracepoint")}


def load(path: Path | None, mode: str | None) -> tuple[Validation, tuple[str, ...]]:
    """Read a manifest; return how the object is tried, and the ids of the profiles that the manifest requires.

    path: None means that nothing is said.
    mode: one of MODES; None means behavior where the manifest has tests, else load_attach.
    Raises BpfcompatError, with file and line.
    """
    value: dict[str, Any] = {}
    if path is not None:
        read = document.read(path)
        if not isinstance(read.value, dict):
            raise BpfcompatError(f"{path}:1: a manifest is a mapping.", "start it with a line `programs:`")
        schema.check(read, "manifest")
        value = read.value
        _refuse_duplicates(read)
    tests = tuple(_test(row) for row in value.get("functional_tests", ()))
    chosen = mode or ("behavior" if tests else "load_attach")
    if chosen == "behavior" and not tests:
        raise BpfcompatError(
            "the validation mode behavior runs functional tests, and there are none.",
            "add `functional_tests:` to the manifest, or use load_attach",
        )
    validation = Validation(
        chosen,
        tuple(_map(read, row, ("maps", index)) for index, row in enumerate(value.get("maps", ()))),
        tuple(_program(read, row, ("programs", index)) for index, row in enumerate(value.get("programs", ()))),
        tuple(_variants(read)) if "program_variants" in value else (),
        tuple(value.get("probe_companions", ())),
        tests if chosen == "behavior" else (),
        tuple(value.get("guest", {}).get("modules", ())),
    )
    return validation, tuple(value.get("required_profiles", ()))


def _refuse_duplicates(read: Document) -> None:
    for key, name in (
        ("programs", "name"),
        ("maps", "name"),
        ("functional_tests", "name"),
        ("program_variants", "group"),
    ):
        seen: set[str] = set()
        for index, row in enumerate(read.value.get(key, ())):
            if row[name] in seen:
                raise BpfcompatError(
                    f"{read.where((key, index, name))}: '{row[name]}' stands here a second time.", "keep one of them"
                )
            seen.add(row[name])


def _test(row: dict[str, Any]) -> FunctionalTest:
    return FunctionalTest(
        row["name"], row["command"], row.get("required", True), matrix.seconds(row.get("timeout", 30)),
        row.get("expect_exit_code", 0), row.get("expect_stdout_contains", ""), row.get("expect_stderr_contains", ""),
    )  # fmt: skip


def _map(read: Document, row: dict[str, Any], here: Location) -> MapFixup:
    inner = None
    if "inner_ringbuf_bytes" in row and "inner" in row:
        raise BpfcompatError(
            f"{read.where((*here, 'inner'))}: `inner` and `inner_ringbuf_bytes` exclude each other.", "keep one of them"
        )
    if "inner_ringbuf_bytes" in row:
        inner = (_RINGBUF, 0, 0, row["inner_ringbuf_bytes"])
    if "inner" in row:
        kind = _number(read, bpf.MAP_TYPES, row["inner"]["type"], (*here, "inner", "type"), "map type")
        inner = (kind, row["inner"].get("key_size", 0), row["inner"].get("value_size", 0), row["inner"]["max_entries"])
    return MapFixup(row["name"], str(row["max_entries"]) if "max_entries" in row else None, inner)


def _program(read: Document, row: dict[str, Any], here: Location) -> ProgramChoice:
    attach = row.get("attach", {})
    kind, attach_type = _kind(read, row["type"], (*here, "type")) if "type" in row else (None, None)
    return ProgramChoice(
        row["name"],
        row.get("section"),
        kind,
        row.get("load"),
        _target(read, attach, here),
        attach.get("required", True),
        attach_type,
    )


def _kind(read: Document, name: str, here: Location) -> tuple[int, int | None]:
    """Return a program's type, and the way to attach that goes with it: without that many types load nowhere."""
    if name in bpf.SECTIONS:
        return bpf.SECTIONS[name]
    kind = _number(read, bpf.PROGRAM_TYPES, name, here, "program type")
    return kind, bpf.EXPECTED.get(kind)


def _target(read: Document, attach: dict[str, Any], here: Location) -> str | None:
    """Return what the validator is told to attach a program to: KIND,TARGET."""
    kind = attach.get("kind", "auto")
    needed = {"tracepoint": ("category", "name"), "raw_tracepoint": ("name",), "auto": ()}.get(kind, ("symbol",))
    for key in attach:
        if key not in ("kind", "required", *needed):
            raise BpfcompatError(
                f"{read.where((*here, 'attach', key))}: `{key}` has no meaning for the kind {kind}.",
                f"remove it, or write the `kind:` that it belongs to ({', '.join(_KINDS[key])})",
            )
    if kind == "auto":
        return None
    for key in needed:
        if key not in attach:
            raise BpfcompatError(
                f"{read.where((*here, 'attach', 'kind'))}: a {kind} needs `{key}:`.", f"add a line `{key}: ...`"
            )
    return f"{kind},{'/'.join(attach[key] for key in needed)}"


def _variants(read: Document) -> Iterator[Variant]:
    for index, group in enumerate(read.value["program_variants"]):
        for place, row in enumerate(group["programs"]):
            where: Location = ("program_variants", index, "programs", place, "requires_helper")
            helper = row.get("requires_helper")
            if helper is not None and "probe" in row:
                raise BpfcompatError(
                    f"{read.where(where)}: `requires_helper` and `probe` exclude each other.", "keep one of them"
                )
            if isinstance(helper, str):
                helper = int(helper) if helper.isdigit() else _number(read, bpf.HELPERS, helper, where, "helper")
            yield Variant(group["group"], row["name"], helper, "probe" in row)


def _number(read: Document, table: dict[int, tuple[str, str]], name: str, here: Location, kind: str) -> int:
    found = bpf.number_of(table, name)
    if found is None:
        hint = did_you_mean(name, (known for known, _ in table.values()), "`bpftool feature probe` lists the names")
        raise BpfcompatError(f"{read.where(here)}: there is no {kind} '{name}'.", hint)
    return found


def command(validation: Validation) -> str:
    """Return the command that tries the artifact as the validation says (guest/validator/)."""
    words = ["--mode", validation.mode]
    for fixup in validation.maps:
        if fixup.max_entries:
            words += ["--map", f"{fixup.name}:max_entries={fixup.max_entries}"]
        if fixup.inner:
            words += ["--map", f"{fixup.name}:inner={','.join(map(str, fixup.inner))}"]
    for program in validation.programs:
        settings = {
            "type": program.type,
            "attach_type": program.attach_type,
            "load": None if program.load is None else int(program.load),
            "attach": program.attach,
        }
        for key, setting in settings.items():
            if setting is not None:
                words += ["--program", f"{program.name}:{key}={setting}"]
    for variant in validation.variants:
        how = ":trial" if variant.trial else "" if variant.helper is None else f":helper={variant.helper}"
        words += ["--variant", f"{variant.group}:{variant.program}{how}"]
    for companion in validation.companions:
        words += ["--companion", companion]
    for test in validation.tests:
        words += ["--test", f"{test.timeout:g}:{test.command}"]
    return f'{VALIDATOR} {shlex.join(words)} "$BPFCOMPAT_ARTIFACT"'


def of_plain(value: dict[str, Any]) -> Validation:
    """Return a validation that was written as JSON; raises KeyError, TypeError for what is none."""
    return Validation(
        value["mode"],
        tuple(MapFixup(**{**row, "inner": tuple(row["inner"]) if row["inner"] else None}) for row in value["maps"]),
        tuple(ProgramChoice(**row) for row in value["programs"]),
        tuple(Variant(**row) for row in value["variants"]),
        tuple(value["companions"]),
        tuple(FunctionalTest(**row) for row in value["tests"]),
        tuple(value.get("guest_modules", ())),
    )

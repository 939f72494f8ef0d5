"""Checking values against the shipped JSON Schemas, with errors that say which line to change."""

from __future__ import annotations

import contextlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpfcompat.errors import BpfcompatError, did_you_mean
from bpfcompat.project.document import Document
from bpfcompat.system import atomic, digest, host

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_REMEMBERED = 256
FOLDER = Path(__file__).parents[1] / "schemas"


@cache
def _validator(name: str) -> Validator:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    schemas = {file.name: json.loads(file.read_text()) for file in FOLDER.glob("*.schema.json")}
    registry: Any = Registry().with_resources((key, Resource.from_contents(value)) for key, value in schemas.items())
    return Draft202012Validator(schemas[f"{name}.schema.json"], registry=registry)


def check(document: Document, name: str) -> None:
    """Raise BpfcompatError for the first thing in `document` that the schema `name` (project, matrix) does not allow.

    What was found valid is remembered by its content: jsonschema takes 60 ms to load, and 0.1 s for 1,000 profiles.
    """
    mark = digest.of_json([name, document.sha256, [file.read_text() for file in sorted(FOLDER.glob("*.schema.json"))]])
    known = _known_valid()
    if mark in known:
        return
    _check(document, name)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        atomic.write_json(_memo(), [mark, *known[: _REMEMBERED - 1]])


def _memo() -> Path:
    return host.cache_folder() / "valid.json"


def _known_valid() -> list[str]:
    try:
        known = json.loads(_memo().read_bytes())
        return known if isinstance(known, list) else []
    except (OSError, ValueError):
        return []


def _check(document: Document, name: str) -> None:
    from jsonschema.exceptions import best_match

    error = best_match(_validator(name).iter_errors(document.value))
    if error is not None:
        raise _explain(document, error)


def problems(value: Any, name: str) -> list[str]:
    """Return what is wrong with a JSON value, for instance a report; empty if nothing is."""
    return [f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(value)]


def _explain(document: Document, error: ValidationError) -> BpfcompatError:
    location = tuple(error.absolute_path)
    where = document.where(location)
    what = ".".join(str(step) for step in location) or "the file"
    schema: Any = error.schema
    instance: Any = error.instance
    description = _description(error)
    if error.validator == "additionalProperties":
        return _unknown_key(document, error)
    if error.validator == "required":
        missing = next(key for key in schema["required"] if key not in instance)
        return BpfcompatError(f"{where}: {what} has no '{missing}'.", f"add a line `{missing}: ...`")
    if (
        error.validator in ("oneOf", "anyOf")
        and isinstance(instance, dict)
        and "required" in schema[error.validator][0]
    ):
        both = "command" in instance and "checks" in instance
        return BpfcompatError(
            f"{where}: {'command and checks exclude each other' if both else 'there is neither a command to run nor an artifact'}.",
            "keep one of them" if both else "add a line `command: $BPFCOMPAT_BIN --self-test`",
        )
    if error.validator == "type":
        kinds = {
            "object": "a mapping",
            "array": "a list",
            "string": "a text",
            "integer": "a whole number",
            "boolean": "true or false",
        }
        wanted = kinds.get(str(error.validator_value), str(error.validator_value))
        return BpfcompatError(
            f"{where}: {what} must be {wanted}, not {_short(error.instance)}.",
            _example(wanted, instance) or description,
        )
    if error.validator in ("minimum", "maximum"):
        low, high = schema.get("minimum"), schema.get("maximum")
        limits = (
            f"{low} to {high}"
            if low is not None and high is not None
            else f"at least {low}"
            if high is None
            else f"at most {high}"
        )
        return BpfcompatError(f"{where}: {what} is {_short(error.instance)}; it must be {limits}.", description)
    return BpfcompatError(f"{where}: {what} cannot be {_short(error.instance)}.", description)


def _description(error: ValidationError | None) -> str:
    """Return what the schema says about a value, or about the alternatives that it is one of."""
    while error is not None:
        schema: Any = error.schema
        if isinstance(schema, dict) and "description" in schema:
            return str(schema["description"])
        error = error.parent  # type: ignore[assignment]
    return ""


def _example(wanted: str, value: Any) -> str:
    if wanted == "a mapping":
        return "write it as `key: value` lines"
    if wanted == "a text" and isinstance(value, (bool, int, float)):
        return f"put it in quotes: '{_short(value)}'"
    return ""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown_key(document: Document, error: ValidationError) -> BpfcompatError:
    schema: Any = error.schema
    instance: Any = error.instance
    known = sorted(schema["properties"])
    unknown = next(key for key in instance if key not in schema["properties"])
    where = document.where((*error.absolute_path, unknown))
    hint = did_you_mean(str(unknown), known, f"the keys here are: {', '.join(known)}")
    return BpfcompatError(f"{where}: unknown key '{unknown}'.", hint)

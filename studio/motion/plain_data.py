"""Motions as plain data: what JSON holds, from and to dataclasses."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from studio.common.schema import SchemaError, from_plain
from studio.common.text import printable, short_repr
from studio.engine.recipe import Recipe
from studio.engine.recipe_checks import checked_json
from studio.errors import StudioError
from studio.motion.timing import Duration

MAX_JSON = 16 << 20
T = TypeVar("T")


def parse_motion_json(text: str | bytes) -> Any:
    """JSON -> plain data. Raises StudioError."""
    return checked_json(text, MAX_JSON, "motion", "Correct it, or use a file that the studio saved.")


def plain(value: Any) -> Any:
    """A motion or a part of it -> plain data; fields that have their default are left out. A class with a `type` says it."""
    if isinstance(value, Recipe):
        return value.to_dict()
    if isinstance(value, Duration):
        return value.value if value.unit == "seconds" else str(value)
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if not dataclasses.is_dataclass(value):
        return value
    out: dict[str, Any] = {"type": kind} if (kind := getattr(type(value), "type", None)) is not None else {}
    for f in dataclasses.fields(value):
        if f.metadata.get("written", True) and (own := getattr(value, f.name)) != f.default:
            out[f.name] = plain(own)
    return out


def read_typed(base: type[T], table: Mapping[str, type[T]], raw: Any, what: str) -> T:
    """One of several dataclasses from plain data: its fields, and 'type', its name in the table. Raises StudioError.

    raw: may be of `base` already.  what: what they are, in a word.
    """
    if isinstance(raw, base):
        return raw
    name = raw.get("type") if isinstance(raw, dict) else None
    cls = table.get(name) if isinstance(name, str) else None
    if cls is None:
        raise StudioError(f"There is no {what} {short_repr(name)}.", f"Choose one of {', '.join(table)}, or update the studio.")
    return read_plain(cls, {k: v for k, v in raw.items() if k != "type"}, f"{what} '{name}'")


def read_plain(cls: type[T], raw: Any, what: str) -> T:
    """Plain data -> a dataclass of this room. Raises StudioError, whose sentence names `what` and the setting."""
    try:
        return from_plain(cls, raw)
    except SchemaError as e:
        name = printable(e.name) or what
        if e.problem == "unknown":
            raise StudioError(
                f"The {what} has an unknown setting '{name}'.", "Take it out; if a newer studio made this, update this one."
            ) from None
        if e.problem == "missing":
            raise StudioError(f"The {what} has no '{name}'.", "Add it.") from None
        if e.problem == "finite":
            raise StudioError(f"The {what} has a number that is infinite or none at all as '{name}'.", "Give a finite one.") from None
        types = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
        expected = {"list": "a list", "table": "a table of settings"}.get(e.problem) or types.get(e.expected, "something else")
        raise StudioError(f"The {what} has {short_repr(e.value)} as '{name}'.", f"It must be {expected}.") from None

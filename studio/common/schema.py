"""Plain data (of JSON or TOML) -> dataclasses, checked by pydantic.

The check is strict: no text becomes a number and no number a flag, and a setting that the dataclass doesn't have is an error.
"""

import functools
import json
import math
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
Problem = Literal["unknown", "missing", "table", "list", "finite", "value"]
_PROBLEMS: dict[str, Problem] = {
    "unexpected_keyword_argument": "unknown",
    "missing": "missing",
    "dataclass_type": "table",
    "tuple_type": "list",
    "list_type": "list",
}
_TYPES = {"string": "str", "dict": "dict", "bool": "bool", "int": "int", "float": "float"}


class SchemaError(ValueError):
    """Plain data that doesn't fit a dataclass. Callers turn it into a sentence about what was read.

    where: keys and list indices that lead to the value, outermost first; () is the data itself.
    problem: 'unknown' (no such field), 'missing' (no value for a field without a default), 'table' (a dataclass was expected),
    'list' (a list was expected), 'finite' (infinity or NaN), or 'value' (of another type than the field).
    value: what was found.  expected: the field's type, such as 'int'; '' if it has no short name.
    """

    def __init__(self, where: tuple[str | int, ...], problem: Problem, value: Any = None, expected: str = ""):
        super().__init__(f"{'.'.join(map(str, where)) or 'data'}: {problem}")
        self.where, self.problem, self.value, self.expected = where, problem, value, expected

    @property
    def name(self) -> str:
        """The path of keys in one text, such as 'data.resolution'."""
        return ".".join(str(part) for part in self.where)


@functools.cache
def _adapter(cls: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(cls)


def from_plain(cls: type[T], raw: Any) -> T:
    """Plain data -> an instance of the dataclass `cls`, with dataclasses and tuples inside as the fields are annotated.

    Raises SchemaError for the first value that doesn't fit, and whatever the `__post_init__` of a dataclass raises.
    """
    try:
        # Through JSON, where pydantic's strict mode takes tables for dataclasses and lists for tuples.
        text, not_finite = json.dumps(raw), _not_finite(raw)
    except (TypeError, ValueError, RecursionError):  # dates of TOML, bytes, integers of thousands of digits
        raise SchemaError((), "value", raw) from None
    if not_finite is not None:
        raise SchemaError(not_finite, "finite", expected="float")
    try:
        return _adapter(cls).validate_json(text, strict=True, extra="forbid")
    except ValidationError as e:
        raise _first_error(e, raw) from None


def known_fields(cls: type, where: tuple[str | int, ...]) -> list[str]:
    """Names of the fields of the dataclass that holds the setting at `where`, within `cls`."""
    for part in where[:-1]:
        inner = next((f.type for f in fields(cls) if f.name == part), None)
        if not isinstance(inner, type) or not is_dataclass(inner):
            break
        cls = inner
    return [f.name for f in fields(cls)]


def _not_finite(raw: Any) -> tuple[str | int, ...] | None:
    """Where the first infinity or NaN is; None if there is none."""
    if isinstance(raw, float):
        return None if math.isfinite(raw) else ()
    items = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list | tuple) else ()
    for key, value in items:
        inner = _not_finite(value)
        if inner is not None:
            return (key, *inner)
    return None


def _first_error(error: ValidationError, raw: Any) -> SchemaError:
    found = min(error.errors(include_url=False), key=lambda e: e["type"] not in _PROBLEMS)
    kind = found["type"]
    if kind == "json_invalid":
        return SchemaError((), "value", raw)
    return SchemaError(found["loc"], _PROBLEMS.get(kind, "value"), found["input"], _TYPES.get(kind.split("_")[0], ""))

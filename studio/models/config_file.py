"""config.json of a model folder: reading it, and checking it against the family's hyper-parameters."""

import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.errors import StudioError
from studio.networks import Family

FORMAT = 1
_MAX_CONFIG_BYTES = 1 << 20
_MAX_LINE = 1000  # characters of a title or a licence
_MAX_WHOLE = 1 << 24  # of any number in a config: no size of a real network is larger
_MAX_LAYERS = 256  # each layer is a module made in Python, so this one costs time before any shape is compared
_MAX_ITEMS = 256  # of a list in a config


def read_config(path: Path, where: str) -> dict[str, Any]:
    """config.json of a folder as it stands, its parts checked for their types. Raises StudioError, which begins with `where`."""
    file = path / "config.json"
    try:
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            raise StudioError(f"{where} has a config.json of more than 1 MB.", "It is not a model of this studio.")
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudioError(f"{where} has no config.json.", "Finish copying it, or delete it.") from None
    except (OSError, ValueError, RecursionError) as e:
        raise StudioError(f"{where} has a config.json that cannot be read: {e}.", "Get the folder again.") from None
    kinds = {"family": str, "config": dict, "title": str, "classes": list, "licence": str, "extra": dict, "format": int}
    if not isinstance(raw, dict):
        raise StudioError(f"{where} has a config.json that is not a table of settings.", "Get the folder again.")
    for key in ("format", "family", "config"):
        if key not in raw:
            raise StudioError(f"{where} has a config.json without '{key}'.", "Get the folder again.")
    for key, kind in kinds.items():
        if key in raw and not isinstance(raw[key], kind):
            raise StudioError(f"{where} has a config.json whose '{key}' is of the wrong kind.", "Get the folder again.")
    try:
        json.dumps(raw, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which nothing could write or show again
        raise StudioError(f"{where} has a config.json with broken text.", "Get the folder again.") from None
    if any(len(raw.get(key, "")) > _MAX_LINE for key in ("title", "licence")):
        raise StudioError(f"{where} has a title or a licence of absurd length.", "Get the folder again.")
    if not all(isinstance(c, str) for c in raw.get("classes", [])):
        raise StudioError(f"{where} has class names that are not text.", "Get the folder again.")
    if raw["format"] != FORMAT:
        raise StudioError(f"{where} has format {raw['format']}, this studio reads {FORMAT}.", "Update the studio.")
    return raw


def check_config(family: Family, config: Mapping[str, Any], what: str) -> None:
    """Check a config from a file against the family's dataclass, before anything is built or allocated.

    Every value must have the type annotated in the dataclass and a size that a network can have; then the dataclass makes its
    own checks.  Raises StudioError, whose sentence begins with `what`.
    """
    hints = _hints(family.config)
    for key, value in config.items():
        if key not in hints:
            raise StudioError(f"{what} with the setting '{key}', which {family.title} does not know.", "A newer studio may know it.")
        limit = _MAX_LAYERS if key.endswith("layers") else _MAX_WHOLE
        if not _fits(value, hints[key], limit):
            raise StudioError(f"{what} whose '{key}' is {value!r:.60}, which {family.title} cannot use.", "Get the folder again.")
    try:
        family.config(**config)
    except (TypeError, ValueError) as e:
        raise StudioError(f"{what} that {family.title} cannot use: {e}.", "Get the folder again.") from None


@functools.cache
def _hints(config: type) -> dict[str, Any]:
    return typing.get_type_hints(config)


def _fits(value: Any, hint: Any, limit: int) -> bool:
    """Whether a value read from JSON has the annotated type. Types that JSON lacks are left to the dataclass."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, part, limit) for part in parts)
    if typing.get_origin(hint) is tuple:
        return (
            isinstance(value, list | tuple)
            and len(value) <= _MAX_ITEMS
            and (parts[-1] is not ... or all(_fits(v, parts[0], limit) for v in value))
        )
    if hint in (bool, str, types.NoneType):
        return isinstance(value, hint)
    if hint is int:
        return type(value) is int and 0 <= value <= limit
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return True

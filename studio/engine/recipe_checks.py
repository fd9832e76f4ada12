"""Checks of values that come into a recipe from outside."""

import json
import re
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from studio.common.text import short_repr
from studio.errors import StudioError
from studio.latents.seeds import check_seed

Seed = Annotated[int, BeforeValidator(check_seed)]  # 5.0 is a seed too: other programs write it so


def number(value: Any, low: float, high: float, what: str) -> float:
    """Check a number against a range; returns a float. Raises StudioError."""
    # The range check alone rejects NaN, infinity and integers too long for a float.
    ok = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and low <= value <= high
    if not ok:
        raise StudioError(f"{what} is {short_repr(value)}.", f"It must be a number from {low:g} to {high:g}.")
    return float(value) + 0.0  # -0.0 becomes 0.0: equal recipes have equal JSON


def checked_name(value: Any, what: str, hint: str) -> None:
    """Check a name. Raises StudioError."""
    # Printable: it goes into JSON, XML and file names.
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise StudioError(f"{what} is {short_repr(value)}.", hint)


def checked_hash(value: Any, what: str) -> None:
    """Check a hash. Raises StudioError."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{0,64}", value):
        raise StudioError(f"{what} is {short_repr(value)}.", "It is up to 64 hex digits, or nothing.")


def checked_json(text: str | bytes, most: int, what: str, hint: str) -> Any:
    """JSON -> plain data. Raises StudioError.  most: characters, a whole number of MB.  hint: what to do when it is not valid."""
    if len(text) > most:
        raise StudioError(f"The {what} is longer than {most >> 20} MB.", "It was not made by the studio.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also a wrong encoding, and numbers of thousands of digits
        raise StudioError(f"The {what} is not valid JSON.", hint) from None

"""TOML, read by the standard library where it can (Python 3.11), otherwise by tomli; written by tomli_w."""

import sys
from typing import Any

import tomli_w

if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError, loads
else:
    from tomli import TOMLDecodeError, loads

__all__ = ["TOMLDecodeError", "dumps", "loads"]


def dumps(table: dict[str, Any]) -> str:
    """A table -> TOML text."""
    return tomli_w.dumps(table)

"""Previews of a set's pictures, small WebP files beside them from which sheets are made."""

import contextlib
import logging
import os
from pathlib import Path
from typing import Protocol

import numpy as np

from studio.imaging.colour import Colour
from studio.imaging.decode import decode

_log = logging.getLogger(__name__)


class _Set(Protocol):
    @property
    def path(self) -> Path: ...

    @property
    def colour_managed(self) -> bool: ...


def small_picture(stored: _Set, name: str, sha: str, ground: Colour) -> np.ndarray:
    """The preview of a picture or, without one whose colours are right, the picture: (H, W, 3) uint8."""
    for path in (stored.path / "previews" / f"{sha}.webp",) * stored.colour_managed + (stored.path / "pictures" / name,):
        try:
            return decode(path, ground)
        except Exception as e:
            if path.parent.name != "previews":
                _log.warning("%s cannot be shown: %s", path, e)
    return np.full((8, 8, 3), ground, np.uint8)


def adopt_previews(staged: Path, stored: Path) -> None:
    """Replace the previews of a stored set by those of the same pictures, staged again."""
    for path in (staged / "previews").glob("*.webp"):
        with contextlib.suppress(OSError):
            (stored / "previews").mkdir(exist_ok=True)
            os.replace(path, stored / "previews" / path.name)

"""Colour after the network, as a recipe holds it."""

import re
from dataclasses import dataclass

import numpy as np
import torch

from studio.common.text import short_repr
from studio.engine.recipe_checks import number
from studio.errors import StudioError
from studio.imaging.grading import posterised, with_palette, with_saturation, with_tones
from studio.imaging.pixels import check_finite

MAX_COLOURS = 32
MAX_LEVELS = 64
_COLOUR = re.compile("#[0-9a-f]{6}")


@dataclass(frozen=True)
class ColourGrade:
    """What is done to the colours of a finished picture, in this order.

    exposure: stops, each doubles the light.  contrast: factor about middle grey.  saturation: factor, 0 = grey.
    palette: colours '#rrggbb' that pixels are drawn to, () = none.  palette_strength: from 0 to 1 = nothing but these colours.
    posterise: values a channel, 0 or 1 = off.
    """

    exposure: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    palette: tuple[str, ...] = ()
    palette_strength: float = 1.0
    posterise: int = 0

    def __post_init__(self):
        for name, low, high, what in (
            ("exposure", -10, 10, "The exposure"),
            ("contrast", 0, 10, "The contrast"),
            ("saturation", 0, 10, "The saturation"),
            ("palette_strength", 0, 1, "The strength of the palette"),
        ):
            object.__setattr__(self, name, number(getattr(self, name), low, high, what))
        palette = tuple(self.palette) if isinstance(self.palette, (tuple, list)) else (None,)
        if len(palette) > MAX_COLOURS or not all(isinstance(c, str) and _COLOUR.fullmatch(c) for c in palette):
            raise StudioError(f"The palette is {short_repr(self.palette)}.", f"It is up to {MAX_COLOURS} colours such as #d97326.")
        object.__setattr__(self, "palette", palette)
        if type(self.posterise) is not int or not 0 <= self.posterise <= MAX_LEVELS:
            raise StudioError(f"Posterise is {short_repr(self.posterise)}.", f"It must be a whole number from 0 (off) to {MAX_LEVELS}.")

    def applied(self, img: torch.Tensor) -> torch.Tensor:
        """Pictures (N, C, H, W), C 1 or 3, as a network gives them in [-1, 1], graded -> (N, 3, H, W) in [-1, 1].
        Raises NotFinite for values that are no numbers.
        """
        if self == ColourGrade():
            return img
        x = (check_finite(img).float() / 2 + 0.5).clamp(0, 1).expand(-1, 3, -1, -1)
        if self.exposure or self.contrast != 1:
            x = with_tones(x, self.exposure, self.contrast)
        if self.saturation != 1:
            x = with_saturation(x, self.saturation)
        if self.palette and self.palette_strength:
            x = with_palette(x, _pixels(self.palette), self.palette_strength)
        if self.posterise > 1:
            x = posterised(x, self.posterise)
        return x * 2 - 1


def _pixels(palette: tuple[str, ...]) -> np.ndarray:
    """(K, 3) uint8 of '#rrggbb'."""
    return np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in palette], np.uint8)


def colour_names(pixels: np.ndarray) -> tuple[str, ...]:
    """'#rrggbb' of (K, 3) uint8, each once."""
    return tuple(dict.fromkeys("#" + "".join(f"{int(v):02x}" for v in pixel) for pixel in pixels))

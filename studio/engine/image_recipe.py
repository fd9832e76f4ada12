"""ImageRecipe: everything needed to repeat the translation or upscaling of a picture."""

from dataclasses import dataclass
from typing import Any

from studio.common.text import short_repr
from studio.engine.recipe import Recipe, SerializableRecipe, checked_hash, checked_name, number
from studio.errors import StudioError
from studio.inference.translation import MIN_TILE
from studio.networks.translation.resnet_unet_patchgan import DIRECTIONS

VERBS = ("translate", "upscale")
MAX_REPEATS = 8
MAX_SCALE = 16
_MAX_TILE = 8192


@dataclass(frozen=True)
class ImageRecipe(SerializableRecipe):
    """Settings of `Engine.translate` and `Engine.upscale`, apart from the source picture.

    model: id in the library.  model_hash: SHA-256 of its weights, "" = any.
    verb: 'translate' or 'upscale'.  source: SHA-256 of the bytes of the source's file, "" = not kept.
    direction: 'AtoB' or 'BtoA', of a translation.
    strength: 1 = the result alone, 0 = the source (when upscaling: resized by Lanczos).
    keep_colour: the lightness of the result with the colours of the source.
    repeat: how many times in a row, 1 to 8.
    scale: when upscaling, 1 to 16; 0 = the model's own.  tile: pixels a side, 0 = chosen to suit the machine.
    seamless: when upscaling, the picture is a tile of a pattern, and the result is one too.
    Raises StudioError when a value is out of range.
    """

    model: str
    model_hash: str = ""
    verb: str = "translate"
    source: str = ""
    direction: str = "AtoB"
    strength: float = 1.0
    keep_colour: bool = False
    repeat: int = 1
    scale: float = 0.0
    tile: int = 0
    seamless: bool = False

    _always = ("model", "verb")  # the verb distinguishes it from a Recipe

    def __post_init__(self):
        checked_name(self.model, "The recipe's model", "Choose a model by its name.")
        checked_hash(self.model_hash, "The recipe's model hash")
        checked_hash(self.source, "The hash of the recipe's source")
        for name, choices in (("verb", VERBS), ("direction", DIRECTIONS), ("keep_colour", (False, True)), ("seamless", (False, True))):
            value = getattr(self, name)
            if type(value) is not type(choices[0]) or value not in choices:
                raise StudioError(f"The recipe's {name} is {short_repr(value)}.", f"It must be {' or '.join(map(str, choices))}.")
        object.__setattr__(self, "strength", number(self.strength, 0, 1, "The strength"))
        object.__setattr__(self, "scale", number(self.scale, 0, MAX_SCALE, "The scale"))
        if 0 < self.scale < 1:
            raise StudioError(f"The scale is {self.scale:g}.", f"It must be a number from 1 to {MAX_SCALE}, or 0 for the model's own.")
        if type(self.repeat) is not int or not 1 <= self.repeat <= MAX_REPEATS:
            raise StudioError(f"The recipe's repeat is {short_repr(self.repeat)}.", f"It must be a whole number from 1 to {MAX_REPEATS}.")
        if type(self.tile) is not int or not (self.tile == 0 or MIN_TILE <= self.tile <= _MAX_TILE):
            raise StudioError(
                f"The recipe's tile is {short_repr(self.tile)}.", f"It must be a whole number from {MIN_TILE} to {_MAX_TILE}, or 0."
            )


def recipe_from(raw: Any) -> Recipe | ImageRecipe:
    """Plain data -> the recipe it describes, of either class. Raises StudioError when it is neither."""
    return (ImageRecipe if isinstance(raw, dict) and "verb" in raw else Recipe).from_dict(raw)

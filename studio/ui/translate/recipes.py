"""Directions of a translation, in words, and the settings of the page as a recipe."""

from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.models.folder import ModelInfo

DIRECTION_TITLES = {"AtoB": "A to B", "BtoA": "B to A"}


def direction_words(info: ModelInfo, direction: str) -> str:
    """A direction with the names of both sides, when the model's folder has them (extra.sides)."""
    sides = info.extra.get("sides")
    if not (isinstance(sides, list) and len(sides) == 2 and all(isinstance(x, str) for x in sides)):
        return DIRECTION_TITLES[direction]
    before, after = sides if direction == "AtoB" else sides[::-1]
    return f"{DIRECTION_TITLES[direction]}: {before} to {after}"


def recipe_of(model: str | None, direction: str | None, strength: float, keep_colour: bool, repeat: float, tile: int) -> ImageRecipe:
    """A recipe from the settings on the page.  strength: %. Raises StudioError when no model is chosen."""
    if not model or not direction:
        raise StudioError("No model is chosen.", "Choose one first.")
    return ImageRecipe(
        model, direction=direction, strength=float(strength) / 100, keep_colour=bool(keep_colour), repeat=int(repeat), tile=int(tile)
    )

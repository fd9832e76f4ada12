"""Parameters of areas: `area.0.at` and the like, of an area that is there."""

import dataclasses
from typing import Any

from studio.engine.area import Area
from studio.engine.model_facts import ModelFacts
from studio.engine.parameter_type import Parameter
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.latents.seeds import MAX_SEED, check_seed

# name -> label, explanation, lowest, highest, step, default; of a control
_NUMBERS = {
    "at": ("Edge or radius (sides)", "Where it begins.", 0, 1, 0.01, 0.5),
    "softness": ("Softness (sides)", "How wide the passage is.", 0, 2, 0.01, 0.5),
    "angle": ("Angle (degrees)", "Towards where it shows.", -180, 180, 1, 0.0),
    "weight": ("Weight", "How much of it is seen.", 0, 1, 0.01, 1.0),
}
AREA_NAMES = ("seed", *_NUMBERS)


def area_addresses(index: int, area: Area) -> list[str]:
    """The addresses of what can be moved of an area: of a mask its weight alone, of a circle no angle."""
    without = {"mask": ("at", "softness", "angle"), "circle": ("angle",)}.get(area.shape, ())
    return [f"area.{index}.{name}" for name in AREA_NAMES if name not in without]


def area_parameter(address: str, facts: ModelFacts | None) -> Parameter:
    """The parameter at an address 'area.INDEX.NAME'."""
    _, number, name = address.split(".")
    index = int(number)

    def entry(recipe: Recipe) -> Area:
        if index >= len(recipe.areas):
            raise StudioError(f"The recipe has {len(recipe.areas)} areas, counted from 0.", f"There is no number {index}.")
        return recipe.areas[index]

    def write(recipe: Recipe, value: Any) -> Recipe:
        new = dataclasses.replace(entry(recipe), **{name: check_seed(value) if name == "seed" else value})
        return recipe.replace(areas=(*recipe.areas[:index], new, *recipe.areas[index + 1 :]))

    label, explanation, *numbers = _NUMBERS.get(name, ("Seed", "", 0, MAX_SEED, 1, 0))
    return Parameter(
        address,
        f"{label} of area {index + 1}",
        explanation,
        "whole" if name == "seed" else "number",
        *numbers,
        read=lambda recipe: getattr(entry(recipe), name),
        write=write,
        needs=lambda model: model.resizable,
    )

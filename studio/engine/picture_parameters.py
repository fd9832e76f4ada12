"""Parameters of the canvas and of the colours after the network."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from studio.engine.model_facts import ModelFacts
from studio.engine.parameter_type import Parameter
from studio.engine.recipe import Recipe

FILL_CHOICES = (("Repeated", "repeat"), ("Stretched", "stretch"))  # (label, value)


def _whole(value: Any) -> Any:
    """A whole number as an int, however a control sends it; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _truth(value: Any) -> Any:
    return {0: False, 1: True}.get(value, value) if type(value) in (int, float) else value


def _setting(
    field: Literal["canvas", "colour"],
    name: str,
    label: str,
    explanation: str,
    type: Literal["number", "whole", "choice"],
    *numbers: Any,
    choices: tuple[tuple[str, str], ...] = (),
    convert: Callable[[Any], Any] = lambda value: value,
    needs: Callable[[ModelFacts], bool] = lambda model: True,
) -> Parameter:
    """Parameter for a setting in a field of the recipe.  convert: a control's value -> the setting's."""
    shown = int if convert is _truth else lambda value: value
    return Parameter(
        f"{field}.{name}",
        label,
        explanation,
        type,
        *numbers,
        choices=choices,
        read=lambda recipe: shown(getattr(getattr(recipe, field), name)),
        write=lambda recipe, value: _with(recipe, field, name, convert(value)),
        needs=needs,
    )


def _with(recipe: Recipe, field: str, name: str, value: Any) -> Recipe:
    return recipe.replace(**{field: dataclasses.replace(getattr(recipe, field), **{name: value})})


def _can_resize(model: ModelFacts) -> bool:
    return model.resizable


COLOUR_PARAMETERS = (
    _setting("colour", "exposure", "Exposure (stops)", "Each stop doubles the light.", "number", -3, 3, 0.05, 0.0),
    _setting("colour", "contrast", "Contrast (factor)", "", "number", 0, 3, 0.02, 1.0),
    _setting("colour", "saturation", "Saturation (factor)", "0 is grey.", "number", 0, 3, 0.02, 1.0),
    _setting("colour", "posterise", "Posterise (levels)", "Few values of each colour; 0 is off.", "whole", 0, 16, 1, 0, convert=_whole),
    _setting("colour", "palette_strength", "Palette (strength)", "At 1 nothing but its colours is left.", "number", 0, 1, 0.01, 1.0),
)
CANVAS_PARAMETERS = (
    _setting(
        "canvas",
        "kaleidoscope",
        "Kaleidoscope (mirrors)",
        "Mirrored wedges around the middle; 0 is off.",
        "whole",
        0,
        16,
        1,
        0,
        convert=_whole,
    ),
    _setting("canvas", "turn", "Turn of the kaleidoscope (degrees)", "Which wedge of the picture it shows.", "number", -180, 180, 1, 0.0),
    _setting(
        "canvas", "width", "Width (pictures)", "Wider than the model was trained for.", "number", 0.5, 4, 0.25, 1.0, needs=_can_resize
    ),
    _setting(
        "canvas", "height", "Height (pictures)", "Higher than the model was trained for.", "number", 0.5, 4, 0.25, 1.0, needs=_can_resize
    ),
    _setting(
        *("canvas", "fill", "How the canvas is filled", "What the network begins with.", "choice", 0, 0, 0, "repeat"),
        choices=FILL_CHOICES,
        needs=_can_resize,
    ),
    _setting(
        *("canvas", "tileable", "Tileable (circular padding)", "Opposite edges continue each other.", "whole", 0, 1, 1, 0),
        convert=_truth,
        needs=lambda model: model.tileable,
    ),
)

"""Tracks: a source moves a parameter."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from studio.common.text import short_repr
from studio.engine.model_facts import ModelFacts
from studio.engine.parameter_type import Parameter, Value
from studio.engine.parameters import parameter
from studio.engine.recipe import Recipe, number
from studio.errors import StudioError
from studio.motion.easing import CURVES
from studio.motion.sources import AnySource, Scene, Source

_MAX_SMOOTHING = 10.0  # seconds
_TAPS_A_SECOND = 120
_FADED = 4.0  # time constants after which the past no longer counts


@dataclass(frozen=True)
class Track:
    """A source that moves a parameter.

    parameter: its address (see `engine.parameters`).  source: a value in [0, 1] over time.
    range: values at 0 and at 1 of the source; None = the parameter's own.  amount: 0 leaves the parameter where it is, 1 moves it over
    the whole range, values between the two a part of the way.  invert: 1 and 0 change places.
    curve: of `easing.CURVES`.  smoothing: seconds; the past fades to 1/e in this time.
    """

    parameter: str
    source: AnySource
    amount: float = 1.0
    curve: str = "linear"
    smoothing: float = 0.0
    range: tuple[float, float] | None = None
    invert: bool = False

    def __post_init__(self):
        if not isinstance(self.parameter, str) or not 0 < len(self.parameter) <= 250:
            raise StudioError(f"A track moves {short_repr(self.parameter)}.", "It must be the address of a parameter, such as psi.")
        if not isinstance(self.source, Source):
            raise StudioError(f"The track of '{self.parameter}' has no source.", "Give it one, such as an oscillator.")
        if not isinstance(self.curve, str) or self.curve not in CURVES:
            raise StudioError(f"There is no curve {short_repr(self.curve)}.", f"Choose one of {', '.join(CURVES)}.")
        if not isinstance(self.invert, bool):
            raise StudioError(f"The track of '{self.parameter}' has {short_repr(self.invert)} as 'invert'.", "It must be true or false.")
        object.__setattr__(self, "amount", number(self.amount, 0, 1, f"The amount of the track of '{self.parameter}'"))
        object.__setattr__(
            self, "smoothing", number(self.smoothing, 0, _MAX_SMOOTHING, f"The smoothing of the track of '{self.parameter}'")
        )
        if self.range is not None:
            ends = self.range if isinstance(self.range, (tuple, list)) and len(self.range) == 2 else (None, None)
            object.__setattr__(self, "range", tuple(number(v, -1e10, 1e10, f"The range of the track of '{self.parameter}'") for v in ends))

    def value(self, seconds: float, scene: Scene) -> float:
        """Value in [0, 1] at a time, after smoothing, inversion and curve."""
        if self.smoothing:
            # A weighted mean over the past, computed anew at each time: a film can begin anywhere.
            back = np.arange(1 + int(_FADED * self.smoothing * _TAPS_A_SECOND)) / _TAPS_A_SECOND
            weights = np.exp(-back / self.smoothing)
            times = seconds - back
            times = np.where(times < 0, times % scene.clock.length, times) if scene.clock.loop else np.maximum(times, 0)
            value = float((self.source.values(times, scene) * weights).sum() / weights.sum())
        else:
            value = float(self.source.values(np.array([seconds]), scene)[0])
        value = min(1.0, max(0.0, value))
        return float(CURVES[self.curve](np.asarray(1 - value if self.invert else value)))


class Moved:
    """A track together with the parameter of a model that it moves.

    Raises StudioError if the model has no such parameter, or the range holds values it cannot take.
    """

    def __init__(self, track: Track, facts: ModelFacts, recipe: Recipe):
        self.track, self.parameter = track, parameter(track.parameter, facts)
        if not self.parameter.available(facts):
            raise StudioError(f"The model '{facts.id}' has no parameter '{track.parameter}'.", "Remove the track, or choose another model.")
        for value in (0.0, 1.0):  # an error now rather than in the middle of a film
            self._set(recipe, value)

    def apply(self, recipe: Recipe, seconds: float, scene: Scene) -> Recipe:
        """The recipe with the parameter as it is at a time."""
        return self._set(recipe, self.track.value(seconds, scene))

    def changes_grid(self, recipe: Recipe) -> bool:
        """Whether the track gives the canvas of a recipe another shape at one of its ends."""
        if not self.parameter.address.startswith("canvas."):
            return False
        return any(self._set(recipe, value).canvas.grid != recipe.canvas.grid for value in (0.0, 1.0))

    def _set(self, recipe: Recipe, value: float) -> Recipe:
        return self.parameter.set(recipe, _mapped(self.track, self.parameter, recipe, value))


def _mapped(track: Track, p: Parameter, recipe: Recipe, value: float) -> Value:
    """Value of the parameter for a value in [0, 1] of the source."""
    if p.type == "choice":
        choices: list[Any] = [choice for _, choice in p.choices]
        return choices[min(int(value * len(choices)), len(choices) - 1)] if track.amount else p.get(recipe)
    low, high = track.range or (p.low, p.high)
    before = float(p.get(recipe))
    moved = (1 - track.amount) * before + track.amount * ((1 - value) * low + value * high)  # exact where an amount or a value is 0 or 1
    return round(moved) if p.type == "whole" else moved

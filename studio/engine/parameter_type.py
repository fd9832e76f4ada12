"""The type of a parameter: a value in a Recipe with its address, range and words."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from studio.common.text import short_repr
from studio.engine.model_facts import ModelFacts
from studio.engine.recipe import Recipe
from studio.errors import StudioError

Value = float | int | str


def _always(_: ModelFacts) -> bool:
    return True


@dataclass(frozen=True)
class Parameter:
    """A value in a Recipe that can be changed.

    address: its name.  label: a few words beside a control.  explanation: a sentence for beginners, or "".
    type: of its values: a real number, a whole number, or one of `choices`, each (label, value).
    low, high, step: the range of a control; a recipe may allow more.  default: the value a control is reset to.
    """

    address: str
    label: str
    explanation: str
    type: Literal["number", "whole", "choice"]
    low: float
    high: float
    step: float
    default: Value
    choices: tuple[tuple[str, str], ...] = ()
    read: Callable[[Recipe], Value] = dataclasses.field(kw_only=True, repr=False, compare=False)
    write: Callable[[Recipe, Any], Recipe] = dataclasses.field(kw_only=True, repr=False, compare=False)
    needs: Callable[[ModelFacts], bool] = dataclasses.field(kw_only=True, repr=False, compare=False, default=_always)

    def get(self, recipe: Recipe) -> Value:
        """Its value in a recipe. Raises StudioError when the recipe has no such part (such as a third mix)."""
        return self.read(recipe)

    def set(self, recipe: Recipe, value: Any) -> Recipe:
        """The recipe with this value. Raises StudioError when the value cannot be used."""
        return self.write(recipe, value)

    def available(self, facts: ModelFacts) -> bool:
        """Whether a model has it."""
        return self.needs(facts)

    def parse(self, text: str) -> Value:
        """Parse a value as people type it. Raises StudioError."""
        text = text.strip()
        if self.type == "choice":
            return text
        try:
            return int(text) if self.type == "whole" else float(text)
        except ValueError:
            hint = f"Give a {'whole ' if self.type == 'whole' else ''}number, such as {self.default}."
            raise StudioError(f"{self.address} is {short_repr(text)}.", hint) from None

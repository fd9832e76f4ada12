"""What one visitor has open: the recipe, its history, pins. Kept on the server, one object a browser tab."""

import uuid
from dataclasses import dataclass, field

from studio.engine.recipe import Edit, Recipe
from studio.errors import StudioError
from studio.latents.mixing import bands

_HISTORY = 500
PAD_REACH = 2.0  # standard deviations from the middle of the pad to its edge


@dataclass
class Session:
    """The state of the Explore tab of one visitor."""

    recipe: Recipe | None = None
    past: list[Recipe] = field(default_factory=list)
    future: list[Recipe] = field(default_factory=list)
    committed: Recipe | None = None  # what undo goes back to
    touched: str = ""  # the control that was moved last; its moves until it is let go are one step
    listed: list[str] = field(default_factory=list)  # ids of the models that Explore shows, in its order
    pins: list[Recipe] = field(default_factory=list)
    sheet: list[Recipe] = field(default_factory=list)
    sheet_seed: int = 0
    mix_cells: list[Recipe | None] = field(default_factory=list)
    mixer: Recipe | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def open(self) -> Recipe:
        """The recipe. Raises StudioError when there is none yet."""
        if self.recipe is None:
            raise StudioError("There is no picture yet.", "Choose a model first.")
        return self.recipe

    def touch(self, control: str) -> None:
        """A control is about to change the recipe: what another one did before is a step of its own."""
        if control != self.touched:
            self.commit()
        self.touched = control

    def commit(self) -> None:
        """Remember the present recipe as a step of the history."""
        self.touched = ""
        if self.recipe is None or self.recipe == self.committed:
            return
        if self.committed is not None:
            self.past = [*self.past[-_HISTORY:], self.committed]
        self.future = []
        self.committed = self.recipe

    def undo(self) -> None:
        """One step back. Raises StudioError at the beginning."""
        self.commit()
        if not self.past:
            raise StudioError("This is where you began.", "There is nothing to undo.")
        self.future.append(self.committed)
        self.recipe = self.committed = self.past.pop()

    def redo(self) -> None:
        """One step forward again. Raises StudioError at the end."""
        if not self.future:
            raise StudioError("This is the newest step.", "There is nothing to redo.")
        self.past.append(self.committed)
        self.recipe = self.committed = self.future.pop()


def edit_strength(recipe: Recipe, direction: str, layers: tuple[int, int] | None) -> float:
    """How far the recipe goes along a direction in these layers."""
    return sum(e.strength for e in recipe.edits if e.direction == direction and e.layers == layers)


def with_edit(recipe: Recipe, direction: str, layers: tuple[int, int] | None, strength: float) -> Recipe:
    """The recipe with the strength along one direction, in these layers, set; 0 takes the edit out."""
    rest = tuple(e for e in recipe.edits if (e.direction, e.layers) != (direction, layers))
    new = Edit(direction, strength, layers)  # also checks the number
    return recipe.replace(edits=(*rest, new) if new.strength else rest)


def pad_position(recipe: Recipe) -> tuple[float, float]:
    """Where the pad's dot is, x and y in [-1, 1]."""
    x, y = (edit_strength(recipe, f"pad:{recipe.seed}:{axis}", None) / PAD_REACH for axis in "xy")
    return max(-1.0, min(1.0, x)), max(-1.0, min(1.0, y))


LAYER_CHOICES = ("Everything", "Coarse: pose, shape", "Middle: features", "Fine: colour, texture")


def chosen_layers(choice: str, num_ws: int) -> tuple[int, int] | None:
    """The rows that a choice of the radio stands for; None = all."""
    name = choice.split(":")[0].strip().lower()
    return bands(num_ws).get(name)

"""The large picture of Classes, which follows the weights and the truncation."""

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.engine.recipe import Recipe
from studio.engine.recipe_checks import number
from studio.errors import StudioError
from studio.ui.classes.recipes import grid_recipes
from studio.ui.classes.state import ClassSettings
from studio.ui.components.handlers import Outputs
from studio.ui.components.picture_html import stage_html
from studio.ui.live.moves import LiveStage
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.classes.tab import ClassesTab


class LargePicture(LiveStage):
    """The selected picture of the grid, as the controls have it while one of them is held."""

    element = "classes-stage"

    def __init__(self, tab: "ClassesTab"):
        self.tab = tab

    @staticmethod
    def session_of(session: Session) -> str:
        """The session of its pictures in the engine."""
        return f"{session.id}/classes"

    def moved(self, session: Session, *values: Any) -> tuple[Recipe, str]:
        """The recipe that the controls describe.  values: of `ClassSettings`. Raises StudioError."""
        state = self.tab.state_of(session)
        if not state.model:
            raise StudioError("There is no picture yet.", "Choose a class first.")
        mode, seed, psi, count, *weights = values
        for weight in weights:
            number(weight, 0, 1, "The weight of a class")
        settings = ClassSettings(mode, seed, psi, number(count, 1, 1000, "The number of pictures"), tuple(weights))
        rows = grid_recipes(state.model, state.chosen, len(self.tab.classes_of(state)), settings)
        cells = [recipe for row in rows for recipe in row]
        return cells[min(state.selected, len(cells) - 1)], "classes"

    @property
    def outputs(self) -> list[Any]:
        return [self.tab.stage]

    def recipe(self, session: Session) -> Recipe | None:
        return self.tab.state_of(session).large

    def change(self, session: Session, recipe: Recipe | None, address: str) -> None:
        self.tab.state_of(session).large = recipe

    def submit(self, session: Session, recipe: Recipe, live: bool = False) -> "Future[np.ndarray]":
        return self.tab.engine.submit(self.session_of(session), recipe, live=live)

    def alt(self, recipe: Recipe) -> str:
        classes = self.tab.engine.facts(recipe.model).classes
        return f"{' and '.join(classes[c.index] for c in recipe.classes)}, seed {recipe.seed}"

    def draw(self, session: Session) -> Outputs:
        recipe = self.recipe(session)
        if recipe is None:
            return {}
        drawn = self.tab.engine.draw(self.session_of(session), recipe)
        return {self.tab.stage: stage_html(drawn.picture, self.alt(recipe), session.drew(self.element, recipe))}

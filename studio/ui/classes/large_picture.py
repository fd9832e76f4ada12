"""The large picture of Classes, which follows the weights and the truncation."""

from typing import TYPE_CHECKING, Any

from studio.engine.recipe import Recipe
from studio.engine.recipe_checks import number
from studio.errors import StudioError
from studio.ui.classes.state import ClassSettings
from studio.ui.live.tab_stage import TabStage
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.classes.tab import ClassesTab


class LargePicture(TabStage):
    """The selected picture of the grid, as the controls have it while one of them is held."""

    element = "classes-stage"
    tab: "ClassesTab"

    def moved(self, session: Session, *values: Any) -> tuple[Recipe, str]:
        """The recipe that the controls describe.  values: of `ClassSettings`. Raises StudioError."""
        state = self.tab.state_of(session)
        if not state.model:
            raise StudioError("There is no picture yet.", "Choose a class first.")
        mode, seed, psi, count, *weights = values
        for weight in weights:
            number(weight, 0, 1, "The weight of a class")
        settings = ClassSettings(mode, seed, psi, number(count, 1, 1000, "The number of pictures"), tuple(weights))
        cells = [recipe for row in self.tab.pictures.rows(state, settings) for recipe in row]
        return cells[min(state.selected, len(cells) - 1)], "classes"

    def recipe(self, session: Session) -> Recipe | None:
        return self.tab.state_of(session).large

    def change(self, session: Session, recipe: Recipe | None, address: str) -> None:
        self.tab.state_of(session).large = recipe

    def alt(self, recipe: Recipe) -> str:
        classes = self.tab.engine.facts(recipe.model).classes
        return f"{' and '.join(classes[c.index] for c in recipe.classes)}, seed {recipe.seed}"

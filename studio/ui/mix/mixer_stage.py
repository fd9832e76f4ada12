"""The mixer's picture, which follows its weights."""

from typing import TYPE_CHECKING, Any

from studio.engine.recipe import Recipe
from studio.engine.recipe_checks import number
from studio.latents.layer_ranges import LAYER_RANGE_NAMES
from studio.latents.seeds import check_seed
from studio.ui.live.tab_stage import TabStage
from studio.ui.mix.recipes import mixer_recipe
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.mix.tab import MixTab

SOURCES = 4  # pictures in the mixer


class MixerStage(TabStage):
    """The mix of the sources. Model, classes and noise are those of Explore's recipe."""

    element = "mixer-stage"
    tab: "MixTab"

    def mixed(self, session: Session, psi: Any, *values: Any) -> tuple[Recipe, str]:
        """The recipe that the controls describe.  values: those of the seeds, then of the weights. Raises StudioError."""
        like, ranges = session.open(), len(LAYER_RANGE_NAMES)
        seeds = [check_seed(v) for v in values[:SOURCES]]
        shares = [number(v, 0, 1, "A weight of the mixer") for v in values[SOURCES:]]
        weights = [shares[ranges * i : ranges * (i + 1)] for i in range(SOURCES)]
        return mixer_recipe(like, seeds, weights, psi, self.tab.num_ws(like.model)), "mixer"

    def recipe(self, session: Session) -> Recipe | None:
        return self.tab.state_of(session).mixer

    def change(self, session: Session, recipe: Recipe | None, address: str) -> None:
        self.tab.state_of(session).mixer = recipe

    def alt(self, recipe: Recipe) -> str:
        return "The mix of the sources"

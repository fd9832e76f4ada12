"""The mixer's picture, which follows its weights."""

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.engine.recipe import Recipe
from studio.engine.recipe_checks import number
from studio.latents.layer_ranges import LAYER_RANGE_NAMES
from studio.latents.seeds import check_seed
from studio.ui.components.handlers import Outputs
from studio.ui.components.picture_html import stage_html
from studio.ui.live.moves import LiveStage
from studio.ui.mix.recipes import mixer_recipe
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.mix.tab import MixTab

SOURCES = 4  # pictures in the mixer


class MixerStage(LiveStage):
    """The mix of the sources. Model, classes and noise are those of Explore's recipe."""

    element = "mixer-stage"

    def __init__(self, tab: "MixTab"):
        self.tab = tab

    @staticmethod
    def session_of(session: Session) -> str:
        """The session of its pictures in the engine."""
        return f"{session.id}/mixer"

    def mixed(self, session: Session, psi: Any, *values: Any) -> tuple[Recipe, str]:
        """The recipe that the controls describe.  values: those of the seeds, then of the weights. Raises StudioError."""
        like, ranges = session.open(), len(LAYER_RANGE_NAMES)
        seeds = [check_seed(v) for v in values[:SOURCES]]
        shares = [number(v, 0, 1, "A weight of the mixer") for v in values[SOURCES:]]
        weights = [shares[ranges * i : ranges * (i + 1)] for i in range(SOURCES)]
        return mixer_recipe(like, seeds, weights, psi, self.tab.num_ws(like.model)), "mixer"

    @property
    def outputs(self) -> list[Any]:
        return [self.tab.stage]

    def recipe(self, session: Session) -> Recipe | None:
        return self.tab.state_of(session).mixer

    def change(self, session: Session, recipe: Recipe | None, address: str) -> None:
        self.tab.state_of(session).mixer = recipe

    def submit(self, session: Session, recipe: Recipe, live: bool = False) -> "Future[np.ndarray]":
        return self.tab.engine.submit(self.session_of(session), recipe, live=live)

    def alt(self, recipe: Recipe) -> str:
        return "The mix of the sources"

    def draw(self, session: Session) -> Outputs:
        recipe = self.recipe(session)
        if recipe is None:
            return {}
        picture = self.submit(session, recipe).result()
        return {self.tab.stage: stage_html(picture, self.alt(recipe), session.drew(self.element, recipe))}

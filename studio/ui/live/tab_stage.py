"""The large picture of a tab beside Explore: one component, with a session of its own in the engine."""

from concurrent.futures import Future
from typing import Any

import numpy as np

from studio.engine.recipe import Recipe
from studio.ui.components.handlers import Outputs
from studio.ui.components.picture_html import stage_html
from studio.ui.live.moves import LiveStage
from studio.ui.session import Session


class TabStage(LiveStage):
    """Base of such pictures. A subclass says which recipe is on it, and what is to be seen.

    tab: the `Tab` whose `stage` it is.
    """

    def __init__(self, tab: Any):
        self.tab = tab

    def session_of(self, session: Session) -> str:
        """The session of its pictures in the engine."""
        return f"{session.id}/{self.element}"

    @property
    def outputs(self) -> list[Any]:
        return [self.tab.stage]

    def submit(self, session: Session, recipe: Recipe, live: bool = False) -> "Future[np.ndarray]":
        return self.tab.engine.submit(self.session_of(session), recipe, live=live)

    def draw(self, session: Session) -> Outputs:
        recipe = self.recipe(session)
        if recipe is None:
            return {}
        picture = self.submit(session, recipe).result()
        return {self.tab.stage: stage_html(picture, self.alt(recipe), session.drew(self.element, recipe))}

"""Live moves of Explore: the large picture as the live channel moves it."""

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from studio.engine.recipe import Recipe
from studio.ui.components.handlers import Outputs
from studio.ui.explore.view import alt_of
from studio.ui.live.moves import Apply, LiveStage
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab


class ExploreStage(LiveStage):
    """The picture of the session's recipe; the moves of a control until it is let go are one step of the history."""

    element = "explore-stage"

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    def slider(self, slider: gr.Slider, apply: Apply, inputs: list[Any] | None = None) -> None:
        """Follow the handle of a slider.  inputs: values that `apply` gets after the slider's."""
        self.tab.page.live.slider(self, slider, apply, inputs or [])

    def scripted(self, name: str, apply: Apply, count: int) -> None:
        """Follow a control whose own script sends its moves.  count: number of its values."""
        self.tab.page.live.scripted(self, name, apply, count)

    @property
    def outputs(self) -> list[Any]:
        return self.tab.picture

    def recipe(self, session: Session) -> Recipe | None:
        return session.recipe

    def change(self, session: Session, recipe: Recipe | None, address: str) -> None:
        if address:
            session.touch(address)
        session.recipe = recipe

    def drew(self, session: Session, recipe: Recipe) -> None:
        super().drew(session, recipe)
        self.tab.film.drew(session, recipe)

    def settle(self, session: Session) -> None:
        session.commit()

    def submit(self, session: Session, recipe: Recipe, live: bool = False) -> "Future[np.ndarray]":
        return self.tab.engine.submit(session.id, recipe, live=live)

    def alt(self, recipe: Recipe) -> str:
        return alt_of(self.tab.engine.library.get(recipe.model).title, recipe)

    def draw(self, session: Session) -> Outputs:
        return self.tab.draw(session)

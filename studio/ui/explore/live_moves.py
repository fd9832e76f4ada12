"""Live moves of Explore: what dragging a control does to the recipe, on the live channel or, without one, as events of Gradio."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.ui.components.handlers import LIVE, QUIET, Outputs, event_value, friendly
from studio.ui.components.status import status_words
from studio.ui.explore.view import alt_of
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

_FALLBACK_JS = "window.studioLive.fallback = (move) => trigger(move.release ? 'release' : 'input', move);"


@dataclass(frozen=True)
class LiveControl:
    """A control that is dragged.

    apply: (session, *values) -> (the new recipe, address of what moved); it changes nothing itself. Raises StudioError.
    count: number of values.
    reset_to: the value that its little reset button sets, which sends a release alone; None = it has none.
    """

    apply: Callable[..., tuple[Recipe, str]]
    count: int = 1
    reset_to: float | None = None


class LiveMoves:
    """The live controls by their element ids, and the channel of the page."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab
        self.controls: dict[str, LiveControl] = {}

    def build(self) -> None:
        """The place of the channel's token, from which moves without a channel are sent, too."""
        self.channel = gr.HTML("", visible="hidden", padding=False, elem_id="live-channel", js_on_load=_FALLBACK_JS)

    def wire(self) -> None:
        """Connect what is sent where there is no channel."""
        values = [self.tab.session]
        self.channel.input(friendly(self._fallback), values, self.tab.picture, **LIVE)
        self.channel.release(friendly(self._fallback), values, self.tab.picture, **QUIET, trigger_mode="multiple")

    def slider(self, slider: gr.Slider, apply: Callable[..., tuple[Recipe, str]], inputs: list[Any] | None = None) -> None:
        """Follow the handle live; letting go of it ends the step of the history.  inputs: values that `apply` gets after the slider's."""
        values, name = [slider, *(inputs or [])], str(slider.elem_id)
        self.controls[name] = LiveControl(apply, len(values), slider.value)
        slider.input(None, values, None, js=f"(...values) => studioLive.move('{name}', values)", **QUIET)
        slider.release(None, values, None, js=f"(...values) => studioLive.move('{name}', values, true)", **QUIET)

    def _fallback(self, session: Session, event: gr.EventData) -> Outputs:
        control, values = event_value(event, "control"), event_value(event, "values")
        if not isinstance(control, str) or not isinstance(values, list):
            raise StudioError("The page sent a move without a control.", "Reload it.")
        old = session.open()
        if not self.move(session, control, values, event_value(event, "release") is True):
            return {}
        try:
            return self.tab.draw(session)
        except StudioError:
            session.recipe = old
            raise

    # -- what the channel asks (studio.ui.live.channel.Drawing) ------------------------------------------------------

    def move(self, session: Session, control: str, values: list[Any], release: bool) -> bool:
        """Apply a move. Returns whether the recipe has changed. Raises StudioError.

        Of releases only a reset moves anything: one that arrives late, after an undo, must not bring back what was undone.
        """
        live = self.controls.get(control)
        if live is None or len(values) != live.count:
            raise StudioError("The page has a control that the studio does not know.", "Reload it.")
        old = session.open()
        changed = False
        if not release or (live.reset_to is not None and values[0] == live.reset_to):
            recipe, address = live.apply(session, *values)
            changed = recipe != old
            if changed:
                session.touch(address)
                session.recipe = recipe
        if release:
            session.commit()
        return changed

    def picture(self, session: Session, recipe: Recipe) -> "asyncio.Future[np.ndarray]":
        """The picture of a recipe. A newer one for the same page takes its place."""
        return asyncio.wrap_future(self.tab.engine.submit(session.id, recipe))

    def described(self, recipe: Recipe) -> dict[str, str]:
        """The words that go with the exact picture."""
        title = self.tab.engine.library.get(recipe.model).title
        return {"alt": alt_of(title, recipe), "status": status_words(self.tab.engine)}

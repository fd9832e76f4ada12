"""Live moves: what dragging a control does to the recipe of a large picture, on the live channel or, without one, as events of Gradio."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.ui.components.handlers import LIVE, QUIET, Outputs, event_value, friendly
from studio.ui.components.status import status_words
from studio.ui.session import Session

_FALLBACK_JS = "window.studioLive.fallback = (move) => trigger(move.release ? 'release' : 'input', move);"

Apply = Callable[..., tuple[Recipe, str]]


class LiveStage:
    """A large picture that follows moves.

    element: id of the component that shows it, as `stage_html` has it.  outputs: components that `draw` changes.
    """

    element: str

    @property
    def outputs(self) -> list[Any]:
        raise NotImplementedError

    def recipe(self, session: Session) -> Recipe | None:
        """The recipe on it, None = none yet."""
        raise NotImplementedError

    def change(self, session: Session, recipe: Recipe | None, address: str) -> None:
        """Put another recipe on it, without drawing it.  address: of what moved, '' = it is put back after an error."""
        raise NotImplementedError

    def settle(self, session: Session) -> None:
        """The control was let go."""

    def submit(self, session: Session, recipe: Recipe, live: bool = False) -> "Future[np.ndarray]":
        """The picture of a recipe, uint8 (H, W, 3). A newer one for the same page takes its place.  live: as in `Engine.submit`."""
        raise NotImplementedError

    def drew(self, session: Session, recipe: Recipe) -> None:
        """The picture of a recipe was made for the live channel."""
        session.drawn[self.element] = recipe

    def alt(self, recipe: Recipe) -> str:
        """What is to be seen, in words."""
        raise NotImplementedError

    def draw(self, session: Session) -> Outputs:
        """Its recipe drawn by an event, for `outputs`."""
        raise NotImplementedError


@dataclass(frozen=True)
class LiveControl:
    """A control that is dragged, or several that are sent together.

    apply: (session, *values) -> (the new recipe, address of what moved); it changes nothing itself. Raises StudioError.
    count: number of values.
    resets: values -> whether a release with them moves the picture. Of a single slider only its little reset button does, which sends a
    release alone: a release that arrives late, after an undo, must not bring back what was undone.
    """

    stage: LiveStage
    apply: Apply
    count: int = 1
    resets: Callable[[Sequence[Any]], bool] = lambda values: False


class LiveMoves:
    """The live controls of a page by their names, and the place of its channel's token, from which moves without a channel are sent."""

    def __init__(self, engine: Engine, session: gr.State):
        self.engine, self.session = engine, session
        self.controls: dict[str, LiveControl] = {}

    def build(self) -> gr.HTML:
        """The component of the token, once all controls are known."""
        channel = gr.HTML("", visible="hidden", padding=False, elem_id="live-channel", js_on_load=_FALLBACK_JS)
        stages = dict.fromkeys(control.stage for control in self.controls.values())
        outputs = list(dict.fromkeys(part for stage in stages for part in stage.outputs))
        channel.input(friendly(self._fallback), self.session, outputs, **LIVE)
        channel.release(friendly(self._fallback), self.session, outputs, **QUIET, trigger_mode="multiple")
        return channel

    def scripted(self, stage: LiveStage, name: str, apply: Apply, count: int) -> None:
        """Follow a control whose own script sends its moves.  count: number of its values."""
        self._add(name, LiveControl(stage, apply, count))

    def _add(self, name: str, control: LiveControl) -> None:
        if name in self.controls:
            raise ValueError(f"two live controls of the page are called {name!r}")
        self.controls[name] = control

    def slider(self, stage: LiveStage, slider: gr.Slider, apply: Apply, inputs: Sequence[Any] = ()) -> None:
        """Follow the handle of a slider; letting go of it settles the picture.  inputs: values that `apply` gets after the slider's."""
        values, name, reset_to = [slider, *inputs], str(slider.elem_id), slider.value
        self._add(name, LiveControl(stage, apply, len(values), lambda sent: sent[0] == reset_to))
        slider.input(None, values, None, js=f"(...values) => studioLive.move('{name}', values)", **QUIET)
        slider.release(None, values, None, js=f"(...values) => studioLive.move('{name}', values, true)", **QUIET)

    def group(self, stage: LiveStage, name: str, sliders: Sequence[gr.Slider], apply: Apply, inputs: Sequence[Any]) -> None:
        """Follow the handles of several sliders that move the picture together.  inputs: everything that `apply` gets."""
        self._add(name, LiveControl(stage, apply, len(inputs), lambda sent: True))
        for event, release in (("input", "false"), ("release", "true")):
            js = f"(...values) => studioLive.move('{name}', values, {release})"
            gr.on([getattr(slider, event) for slider in sliders], None, list(inputs), None, js=js, **QUIET)

    def _fallback(self, session: Session, event: gr.EventData) -> Outputs:
        control, values = event_value(event, "control"), event_value(event, "values")
        if not isinstance(control, str) or not isinstance(values, list):
            raise StudioError("The page sent a move without a control.", "Reload it.")
        stage = self.controls[control].stage if control in self.controls else None
        old = stage.recipe(session) if stage is not None else None
        stage = self.move(session, control, values, event_value(event, "release") is True)
        if stage is None:
            return {}
        try:
            return stage.draw(session)
        except StudioError:
            stage.change(session, old, "")
            raise

    # -- what the channel asks -----------------------------------------------------------------------------------

    def move(self, session: Session, control: str, values: list[Any], release: bool) -> LiveStage | None:
        """Apply a move. Returns the picture that has changed, None = none has. Raises StudioError."""
        live = self.controls.get(control)
        if live is None or len(values) != live.count:
            raise StudioError("The page has a control that the studio does not know.", "Reload it.")
        changed = False
        if not release or live.resets(values):
            recipe, address = live.apply(session, *values)
            changed = recipe != live.stage.recipe(session)
            if changed:
                live.stage.change(session, recipe, address)
        if release:
            live.stage.settle(session)
        return live.stage if changed else None

    def described(self, stage: LiveStage, recipe: Recipe) -> dict[str, str]:
        """Words that go with an exact picture: 'alt' of it, and 'status' for the line at the bottom (HTML)."""
        return {"alt": stage.alt(recipe), "status": status_words(self.engine)}

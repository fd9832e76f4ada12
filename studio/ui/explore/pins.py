"""Pins: a filmstrip of pictures to return to, a walk between them, and a clip of it."""

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.engine.recipe import Recipe
from studio.engine.recipe_checks import number
from studio.errors import StudioError
from studio.outputs.clips import save_clip
from studio.outputs.sheets import walk_at, walk_recipes
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.output_names import time_stamp
from studio.ui.components.picture_html import data_url, file_url
from studio.ui.components.press_grid import cells_html, press_grid, pressed
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

MAX_PINS = 64  # each new one draws all of them
_HELP = "<b>Filmstrip.</b> Press a pin to return to it; with two or more, walk between them."


class Pins:
    """The filmstrip, hidden while there is no pin; the walk needs two."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    def build(self) -> None:
        """The filmstrip and what can be done with it."""
        with gr.Group(visible=False) as self.box:
            gr.HTML(note(_HELP), padding=False)
            self.strip = press_grid(elem_id="filmstrip")
            self.walk = gr.Slider(0, 1, 0, step=0.01, label="Walk along the pins", visible=False, elem_id="walk")
            with gr.Row(elem_classes="gs-tools"):
                self.frames = gr.Slider(12, 240, 48, step=12, label="Frames of the clip", visible=False)
                self.clip = gr.Button("Make a clip", visible=False, elem_id="clip")
                self.clip_stop = gr.Button("Stop", visible=False, elem_id="clip-stop")
                self.unpin = gr.Button("Remove last pin")
            self.clip_view = gr.HTML("", visible=False, padding=False)
            self.clip_file = gr.DownloadButton("Download the clip", visible=False)

    def wire(self, button: gr.Button) -> None:
        """button: pins the present picture."""
        tab, s = self.tab, self.tab.session
        outputs = [self.box, self.strip, self.walk, self.frames, self.clip, *tab.play.outputs]
        button.click(friendly(self._pin), s, outputs, **QUIET)
        self.unpin.click(friendly(self._unpin), s, outputs, **QUIET)
        tab.jump(self.strip.select, self._choose)
        tab.live.slider(self.walk, self._walk)
        shown = [self.clip_view, self.clip_file]
        tab.long_work("clip", self.clip, self.clip_stop, self._make_clip, [s, self.frames], shown, view=self.clip_view)

    def _pin(self, session: Session) -> Outputs:
        pins = self.tab.state_of(session).pins
        if len(pins) >= MAX_PINS:
            raise StudioError(f"There are {len(pins)} pins, the most there can be.", "Remove the last one first.")
        pins.append(session.open())
        return self._draw(session)

    def _unpin(self, session: Session) -> Outputs:
        pins = self.tab.state_of(session).pins
        if pins:
            pins.pop()
        return self._draw(session)

    def _draw(self, session: Session) -> Outputs:
        pins = self.tab.state_of(session).pins
        pictures = self.tab.engine.render_many(pins, preview=True) if pins else []
        cells = [{"src": data_url(p), "small": len(p) <= 128, "label": f"{i + 1}"} for i, p in enumerate(pictures)]
        can_walk = len(pins) > 1
        return {
            self.box: gr.update(visible=bool(cells)),
            self.strip: cells_html(cells),
            self.walk: gr.update(value=0, visible=can_walk),
            self.frames: gr.update(visible=can_walk),
            self.clip: gr.update(visible=can_walk),
            **self.tab.play.values(session),
        }

    def _choose(self, session: Session, layers_choice: str, event: gr.EventData) -> Outputs:
        pins = self.tab.state_of(session).pins
        return self.tab.go(session, layers_choice, pressed(event, pins, "That pin is no longer here."))

    def _walk(self, session: Session, position: Any) -> tuple[Recipe, str]:
        place = number(position, 0, 1, "The place on the walk")
        here = self.tab.state_of(session).pins_of(session.open().model)
        if len(here) < 2:
            raise StudioError("A walk needs two pins or more of the open model.", "Pin more pictures of it, or open the model of the pins.")
        return walk_at(self.tab.engine, here, place), "walk"

    def _make_clip(self, session: Session, frames: float, progress: gr.Progress = gr.Progress()) -> Outputs:
        tab = self.tab
        recipes = walk_recipes(tab.engine, tab.state_of(session).pins, int(frames), closed=True)

        def report(done: int, total: int) -> None:
            progress((done, total), desc="Rendering the walk", unit="frames")

        pictures = tab.engine.render_many(recipes, progress=report, cancel=tab.stopping(session, "clip"))
        path = save_clip(pictures, session.workspace.output("explore", f"{time_stamp()}-walk.webp"))
        view = f'<div class="gs-stage"><img alt="The walk between the pins" class="small" src="{file_url(path)}"></div>'
        return {self.clip_view: gr.update(value=view, visible=True), self.clip_file: gr.update(value=str(path), visible=True)}

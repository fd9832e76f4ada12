"""Variations: a sheet of pictures around the one that is shown."""

from typing import TYPE_CHECKING

import gradio as gr

from studio.outputs.sheets import variations
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.picture_html import data_url
from studio.ui.components.press_grid import cells_html, press_grid, pressed
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

_NINE = 9
_HELP = "<b>Variations.</b> Press one to step there; the middle is where you are."


class Variations:
    """Nine pictures in three rows; the one in the middle is the present one."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    def build(self) -> None:
        """The sheet, hidden until it is asked for."""
        with gr.Group(visible=False) as self.box:
            gr.HTML(note(_HELP), padding=False)
            self.sheet = press_grid(elem_id="variations")
            with gr.Row(elem_classes="gs-tools"):
                self.spread = gr.Slider(0.1, 3, 1, step=0.1, label="How far apart", elem_id="spread")
                self.others = gr.Button("Nine others")

    def wire(self, button: gr.Button) -> None:
        """button: shows the sheet."""
        inputs, outputs = [self.tab.session, self.spread], [self.box, self.sheet]
        for trigger in (button.click, self.spread.release):
            trigger(friendly(self._draw), inputs, outputs, **QUIET)
        self.others.click(friendly(self._draw_others), inputs, outputs, **QUIET)
        self.tab.jump(self.sheet.select, self._choose)

    def _draw(self, session: Session, spread: float) -> Outputs:
        state = self.tab.state_of(session)
        state.sheet = variations(session.open(), _NINE, spread, state.sheet_seed)
        pictures = self.tab.engine.render_many(state.sheet, preview=True)
        small = len(pictures[0]) <= 128
        cells = [{"src": data_url(p), "small": small, "alt": f"variation {i + 1}"} for i, p in enumerate(pictures)]
        return {self.box: gr.update(visible=True), self.sheet: cells_html(cells, columns=3, selected=_NINE // 2)}

    def _draw_others(self, session: Session, spread: float) -> Outputs:
        self.tab.state_of(session).sheet_seed += 1
        return self._draw(session, spread)

    def _choose(self, session: Session, layers_choice: str, event: gr.EventData) -> Outputs:
        sheet = self.tab.state_of(session).sheet
        return self.tab.go(session, layers_choice, pressed(event, sheet, "That picture is no longer here.", "Make the sheet again."))

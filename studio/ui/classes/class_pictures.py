"""Pictures of Classes: the large one, the grid, and the settings they are drawn with."""

import random
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.engine.parameters import TABLE
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.ui.classes.large_picture import LargePicture
from studio.ui.classes.recipes import grid_recipes
from studio.ui.classes.state import BLEND, MAX_CHOSEN, ROW, ClassesState, ClassSettings
from studio.ui.classes.view import columns_html
from studio.ui.components.handlers import LIVE, QUIET, Outputs, friendly
from studio.ui.components.notes import empty_html
from studio.ui.components.parameter_controls import parameter_number, parameter_slider
from studio.ui.components.picture_html import data_url
from studio.ui.components.press_grid import cells_html, press_grid, pressed
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.classes.tab import ClassesTab

_DICE_SEEDS = 1_000_000  # the dice picks seeds that are easy to read and to write down
_MODES = [("Blended in one picture (blend)", BLEND), ("Side by side with the same seed (row)", ROW)]
_COUNTS = {BLEND: ("Pictures: this seed and the next ones", 8), ROW: ("Rows: this seed and the next ones", 2)}


class Pictures:
    """The grid of pictures; the selected one is also shown large."""

    def __init__(self, tab: "ClassesTab"):
        self.tab = tab
        self.large = LargePicture(tab)

    # -- what is on the page -------------------------------------------------------------------------------------

    def build_stage(self) -> gr.HTML:
        """The large picture, which is returned, and a row for buttons below it."""
        self.stage = gr.HTML(empty_html("Loading the model ..."), padding=False, elem_id="classes-stage")
        self.tools = gr.Row(elem_classes="gs-tools")
        return self.stage

    def build_settings(self) -> None:
        """The controls beside the large picture."""
        self.mode = gr.Radio(_MODES, value=BLEND, label="Chosen classes", elem_id="classes-mode")
        self.weights = [
            gr.Slider(0, 1, 1, step=0.05, label="Weight", visible=False, elem_id=f"classes-weight-{i}") for i in range(MAX_CHOSEN)
        ]
        with gr.Row(elem_classes="gs-tools"):
            self.seed = parameter_number(TABLE["seed"], label="Seed", elem_id="classes-seed")
            self.dice = gr.Button("Another seed", elem_id="classes-dice")
        self.psi = parameter_slider(TABLE["psi"], explain=False, elem_id="classes-psi")
        label, count = _COUNTS[BLEND]
        self.count = gr.Slider(1, 32, count, step=1, label=label, elem_id="classes-count")

    def build_grid(self) -> None:
        """The grid below both."""
        self.grid = press_grid(elem_id="classes-grid")

    @property
    def controls(self) -> list[Any]:
        """The components of `ClassSettings`, in its order."""
        return [self.mode, self.seed, self.psi, self.count, *self.weights]

    @property
    def outputs(self) -> list[Any]:
        """The large picture and the grid."""
        return [self.stage, self.grid]

    # -- wiring --------------------------------------------------------------------------------------------------

    def wire(self) -> None:
        """ClassSettings draw; while a slider is held only the large picture follows."""
        s, inputs = self.tab.session, [self.tab.session, *self.controls]
        self.mode.input(friendly(self._set_mode), [s, self.mode], [self.count, *self.weights], **QUIET).then(
            friendly(self._redraw), inputs, self.outputs, **QUIET
        )
        self.tab.page.live.group(self.large, "classes", [self.psi, *self.weights], self.large.moved, self.controls)
        released = [x.release for x in (self.psi, self.count, *self.weights)]
        gr.on([*released, self.seed.submit, self.seed.blur], friendly(self._redraw), inputs, self.outputs, **LIVE)
        self.dice.click(lambda: random.randrange(_DICE_SEEDS), None, self.seed, **QUIET).then(
            friendly(self._redraw), inputs, self.outputs, **QUIET
        )
        self.grid.select(friendly(self._select), s, self.outputs, **QUIET)

    def _set_mode(self, session: Session, mode: str) -> Outputs:
        """The count changes its meaning, and weights are shown only in BLEND."""
        label, value = _COUNTS[mode]
        return {self.count: gr.update(label=label, value=value), **self.weight_sliders(self.tab.state_of(session), mode)}

    def weight_sliders(self, state: ClassesState, mode: str, weights: list[float] | None = None) -> Outputs:
        """One slider for each class of a blend.  weights: their values, 1 where one is missing; None = unchanged."""
        chosen = state.chosen if mode == BLEND and len(state.chosen) > 1 else []
        classes = self.tab.classes_of(state) if state.model else ()
        shown: Outputs = {}
        for i, slider in enumerate(self.weights):
            words: dict[str, Any] = {"label": f"Weight of {classes[chosen[i]]}"} if i < len(chosen) else {}
            value: dict[str, Any] = {} if weights is None else {"value": weights[i] if i < len(weights) else 1.0}
            shown[slider] = gr.update(visible=i < len(chosen), **words, **value)
        return shown

    # -- drawing -------------------------------------------------------------------------------------------------

    def rows(self, state: ClassesState, settings: ClassSettings) -> list[list[Recipe]]:
        """The recipes that the settings describe, see `grid_recipes`. Raises StudioError for a seed out of range."""
        return grid_recipes(state.model, state.chosen, len(self.tab.classes_of(state)), settings)

    def _redraw(self, session: Session, *values: Any) -> Outputs:
        return self.draw(session, ClassSettings.of(values))

    def draw(self, session: Session, settings: ClassSettings) -> Outputs:
        """The grid and the large picture.

        Raises CancelledError when a newer drawing has begun: the seed field draws when it loses the focus, and so does the chip whose
        press took the focus.
        """
        state = self.tab.state_of(session)
        if not state.model:
            return {}
        with state.drawing:
            number = state.drawn = state.drawn + 1
        rows = self.rows(state, settings)
        cells = [recipe for row in rows for recipe in row]
        pictures = self.tab.engine.render_many(cells, preview=True, cancel=lambda: state.drawn != number)
        classes, small = self.tab.classes_of(state), len(pictures[0]) <= 128
        thumbnails = []
        for recipe, picture in zip(cells, pictures, strict=True):
            words = f"{classes[recipe.classes[0].index]} · {recipe.seed}" if settings.mode == ROW else f"seed {recipe.seed}"
            thumbnails.append({"src": data_url(picture), "small": small, "label": words})
        with state.drawing:
            if state.drawn != number:
                raise CancelledError()
            state.cells, state.thumbnails = cells, thumbnails
            state.columns = len(rows[0]) if settings.mode == ROW else min(8, len(cells))
            state.selected = state.selected if state.selected < len(cells) else 0
            return self._show_selected(session, state)

    def _show_selected(self, session: Session, state: ClassesState) -> Outputs:
        recipe = state.cells[state.selected]
        grid = cells_html(state.thumbnails, columns=state.columns, selected=state.selected)
        is_row = len(recipe.classes) == 1 and len({c.classes for c in state.cells}) > 1
        return {**self._show_large(session, recipe), self.grid: columns_html(grid, state.columns, keep=is_row)}

    def _show_large(self, session: Session, recipe: Recipe) -> Outputs:
        self.tab.state_of(session).large = recipe
        return self.large.draw(session)

    def _select(self, session: Session, event: gr.EventData) -> Outputs:
        state = self.tab.state_of(session)
        indices = range(len(state.cells))
        state.selected = pressed(event, indices, "That picture is no longer here.", "Press another.")
        return self._show_selected(session, state)

    def selected(self, session: Session) -> Recipe:
        """Recipe of the large picture. Raises StudioError when there is none."""
        state = self.tab.state_of(session)
        if not state.cells:
            raise StudioError("There is no picture yet.", "Choose a class first.")
        return state.cells[state.selected]

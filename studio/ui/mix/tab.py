"""Mix: a mixer of up to four pictures, and a grid that puts the style of some seeds on the bodies of others."""

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from studio.engine.parameters import LAYER_CHOICES, TABLE
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.latents.layer_ranges import LAYER_RANGE_NAMES, layer_ranges
from studio.latents.seeds import MAX_SEED, check_seed, parse_seeds
from studio.ui.components.handlers import LIVE, QUIET, Outputs, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.parameter_controls import parameter_slider
from studio.ui.components.picture_html import data_url, stage_html
from studio.ui.components.press_grid import cells_html, press_grid, pressed
from studio.ui.components.tab import Page, Tab, TabState
from studio.ui.components.targets import Target
from studio.ui.mix.mixer_stage import SOURCES, MixerStage
from studio.ui.mix.recipes import MixGrid, plain_recipe, style_grid
from studio.ui.session import Session

_MAX_SEEDS = 12  # on each side of the grid
_OWN = "own"
_RANGES = [*zip(LAYER_CHOICES[1:], LAYER_RANGE_NAMES, strict=True), ("My own range", _OWN)]
_MIXER = (
    "<b>Mixer.</b> Up to four pictures, each with a weight in every layer range. Weights are relative: "
    "1 and 1 is half and half; with all at 0 only the first picture remains."
)
_GRID = "<b>Style mixing.</b> Each cell keeps the row's picture and takes the chosen layers from the column's."


@dataclass
class MixState(TabState):
    """What one visitor does in Mix.

    cells: recipe of each cell of the grid, row by row; None for headers.  mixer: recipe of the mixer's picture.
    """

    cells: list[Recipe | None] = field(default_factory=list)
    mixer: Recipe | None = None


class MixTab(Tab[MixState]):
    """The mixer and the grid. Model, classes and noise are those of Explore's recipe; where the page has Explore, cells open there."""

    id, state_type = "mix", MixState

    def __init__(self, page: Page):
        self.explore: Target | None = next(iter(page.targets("recipe", ["explore"])), None)
        self.mixer = MixerStage(self)
        super().__init__(page)

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        gr.HTML(note(_MIXER), padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=320):
                self.seeds, self.weights, self.sources = [], [], []
                with gr.Row(equal_height=False):
                    for i in range(SOURCES):
                        with gr.Column(min_width=130):
                            self._build_source(i)
            with gr.Column(scale=4, min_width=300, elem_id="mixer-result"):
                self.stage = gr.HTML(empty_html("Move a weight to begin."), padding=False, elem_id="mixer-stage")
                with gr.Row(elem_classes="gs-tools") as self.tools:
                    self.open = gr.Button("Open in Explore", visible=self.explore is not None, elem_id="mixer-open")
        press = " Press a cell to open it in Explore." if self.explore is not None else ""
        gr.HTML(note(_GRID + press), padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self._build_grid_settings()
            with gr.Column(scale=6, min_width=320):
                begin = "The grid appears here: choose seeds and press <b>Make the grid</b>."
                self.grid = press_grid(value=empty_html(begin), elem_id="mix-grid")

    def _build_source(self, i: int) -> None:
        """One picture of the mixer: itself, its seed, its weights (all of the first at 1)."""
        self.sources.append(gr.HTML(padding=False))
        self.seeds.append(gr.Number(i + 1, label=f"Seed {i + 1}", precision=0, minimum=0, maximum=MAX_SEED, elem_id=f"mixer-seed-{i}"))
        for name in LAYER_RANGE_NAMES:
            weight = 1.0 if i == 0 else 0.0
            self.weights.append(gr.Slider(0, 1, weight, step=0.05, label=name.capitalize(), elem_id=f"mixer-{name}-{i}"))

    def _build_grid_settings(self) -> None:
        self.rows = gr.Textbox("1-4", label="Rows: seeds of the pictures to keep", elem_id="mix-rows")
        self.columns = gr.Textbox("11-14", label="Columns: seeds whose style is taken", elem_id="mix-columns")
        self.range = gr.Radio(_RANGES, value="middle", label="Layers taken from the column", elem_id="mix-band")
        with gr.Row(visible=False) as self.range_box:
            self.first_layer = gr.Slider(0, 17, 0, step=1, label="First layer")
            self.last_layer = gr.Slider(0, 17, 3, step=1, label="Last layer")
        self.psi = parameter_slider(TABLE["psi"], explain=False)
        with gr.Row(elem_classes="gs-tools"):
            self.make = gr.Button("Make the grid", variant="primary", elem_id="mix-make")
            self.stop = gr.Button("Stop", visible=False, elem_id="mix-stop")

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s = self.session
        self.range.input(lambda name: gr.update(visible=name == _OWN), self.range, self.range_box, **QUIET)
        settings = [s, self.rows, self.columns, self.range, self.first_layer, self.last_layer, self.psi]
        self.long_work("grid", self.make, self.stop, self._make_grid, settings, [self.grid])
        inputs = [s, *self.enter_inputs]
        self.page.live.group(self.mixer, "mixer", [*self.weights, self.psi], self.mixer.mixed, self.enter_inputs)
        entered = [trigger for number in self.seeds for trigger in (number.submit, number.blur)]
        gr.on(entered, friendly(self.enter), inputs, self.enter_outputs, **LIVE)
        if self.explore is not None:
            outputs = self.explore.outputs_with(self.page.tabs)
            self.grid.select(friendly(self._open_cell), s, outputs, **QUIET)
            self.open.click(friendly(self._open_mix), s, outputs, **QUIET)

    @property
    def enter_inputs(self) -> list:
        return [self.psi, *self.seeds, *self.weights]

    @property
    def enter_outputs(self) -> list:
        return [*self.sources, self.stage]

    def enter(self, session: Session, psi: float, *values) -> Outputs:
        """Pictures of the sources, and their mix.  values: those of the seeds, then of the weights."""
        like = session.open()
        seeds = [check_seed(v) for v in values[:SOURCES]]
        pictures = self.engine.render_many([plain_recipe(like, seed, psi) for seed in seeds], preview=True)
        sources = {part: stage_html(picture, f"Seed {seed}") for part, picture, seed in zip(self.sources, pictures, seeds, strict=True)}
        return {**sources, **self._mix(session, psi, *values)}

    # -- the mixer -----------------------------------------------------------------------------------------------

    def _mix(self, session: Session, *values) -> Outputs:
        self.state_of(session).mixer, _ = self.mixer.mixed(session, *values)
        return self.mixer.draw(session)

    def _mixed(self, session: Session) -> Recipe:
        """The recipe of the mix. Raises StudioError when there is none."""
        recipe = self.state_of(session).mixer
        if recipe is None:
            raise StudioError("There is no mix yet.", "Move a weight first.")
        return recipe

    def num_ws(self, model: str) -> int:
        """Rows of w+ of a model. Raises StudioError for one that has no latents."""
        num_ws = self.engine.model(model).num_ws
        if num_ws is None:
            raise StudioError(f"The model '{model}' has no styles to mix.", "Choose one that draws from noise.")
        return num_ws

    # -- the grid ------------------------------------------------------------------------------------------------

    def _make_grid(
        self,
        session: Session,
        rows: str,
        columns: str,
        name: str,
        first: float,
        last: float,
        psi: float,
        progress: gr.Progress = gr.Progress(),
    ) -> Outputs:
        like = session.open()
        num_ws = self.num_ws(like.model)
        row_seeds, column_seeds = parse_seeds(rows, _MAX_SEEDS), parse_seeds(columns, _MAX_SEEDS)
        if name == _OWN:
            if not 0 <= first <= last < num_ws:
                raise StudioError(f"Layers {first:g} to {last:g} are not a range of this model.", f"It has layers 0 to {num_ws - 1}.")
            layers = (int(first), int(last) + 1)
        else:
            layers = layer_ranges(num_ws)[name]
        grid = style_grid(like, row_seeds, column_seeds, layers, psi)
        pictures = self.engine.render_many(
            grid.recipes,
            preview=True,
            progress=lambda done, all_: progress((done, all_), unit="pictures"),
            cancel=self.stopping(session, "grid"),
        )
        return {self.grid: self._show_grid(self.state_of(session), grid, [data_url(p) for p in pictures], len(pictures[0]) <= 128)}

    def _show_grid(self, state: MixState, grid: MixGrid, urls: list[str], small: bool) -> str:
        """HTML of the grid; which recipe is in which cell is remembered.  urls: in the order of `grid.recipes`."""
        headers, inner = dict(zip(grid.headers, urls, strict=False)), iter(urls[len(grid.headers) :])
        cells: list[dict[str, Any]] = [{"head": True, "label": "↓ with →"}]
        recipes: list[Recipe | None] = [None]

        def add(cell: dict, recipe: Recipe | None) -> None:
            cells.append({**cell, "small": small})
            recipes.append(recipe)

        for seed in grid.columns:
            add({"src": headers[seed], "label": f"seed {seed}", "head": True}, None)
        for seed, row in zip(grid.rows, grid.cells, strict=True):
            add({"src": headers[seed], "label": f"seed {seed}", "head": True}, None)
            for column, recipe in zip(grid.columns, row, strict=True):
                add({"src": next(inner), "alt": f"{seed} with the style of {column}"}, recipe)
        state.cells = recipes
        return cells_html(cells, columns=len(grid.columns) + 1)

    # -- other tabs ----------------------------------------------------------------------------------------------

    def _open_cell(self, session: Session, event: gr.EventData) -> Outputs:
        gone = ("That cell is no longer here.", "Make the grid again.")
        recipe = pressed(event, self.state_of(session).cells, *gone)
        if recipe is None:
            raise StudioError(*gone)
        return self._open_in_explore(session, recipe)

    def _open_mix(self, session: Session) -> Outputs:
        return self._open_in_explore(session, self._mixed(session))

    def _open_in_explore(self, session: Session, recipe: Recipe) -> Outputs:
        return self.explore.open_there(self.page.tabs)(session, recipe) if self.explore is not None else {}

    @property
    def recipe_target(self) -> Target:
        """For other tabs: a picture becomes the first row of the grid and the first source of the mixer."""
        explored = self.explore.outputs if self.explore is not None else []
        return Target("mix", "Put into Mix", self._open_recipe, [self.rows, self.psi, self.seeds[0], *explored], [self.rows])

    def _open_recipe(self, session: Session, recipe: Recipe, rows: str) -> Outputs:
        try:
            others = [seed for seed in parse_seeds(rows, _MAX_SEEDS) if seed != recipe.seed]
        except StudioError:  # incomplete text, which the picture replaces
            others = []
        session.recipe = recipe  # Mix takes its model and classes from here
        shown = self.explore.open(session, recipe) if self.explore is not None else {}
        text = ", ".join(str(seed) for seed in [recipe.seed, *others][:_MAX_SEEDS])
        return {**shown, self.rows: text, self.psi: recipe.psi, self.seeds[0]: recipe.seed}

    def add_targets(self, targets: list[Target]) -> None:
        with self.tools:
            self.target_buttons(targets, self._mixed, prefix="mixer")

    def forget(self, session: Session) -> None:
        super().forget(session)
        self.engine.cancel(self.mixer.session_of(session))

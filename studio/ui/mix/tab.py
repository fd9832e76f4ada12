"""Mix: styles of some seeds on the bodies of others, and a mixer of up to four."""

import threading

import gradio as gr

from studio.engine.engine import Engine
from studio.engine.recipe import Mix, Recipe, SeedWeight
from studio.errors import StudioError
from studio.latents.layer_ranges import LAYER_RANGE_NAMES, layer_ranges
from studio.latents.seeds import MAX_SEED, check_seed, parse_seeds
from studio.outputs.sheets import mix_grid
from studio.ui.components.handlers import LIVE, QUIET, WORK, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.pictures import data_url, stage_html
from studio.ui.components.press_grid import cells_html, press_grid
from studio.ui.components.targets import Target, target_buttons
from studio.ui.explore.tab import ExploreTab
from studio.ui.session import Session

SOURCES = 4
_MOST = 12  # seeds a side of the grid
_BANDS = [("Coarse: pose, shape", "coarse"), ("Middle: features", "middle"), ("Fine: colour, texture", "fine"), ("My own range", "own")]


class MixTab:
    """Builds the tab and wires it. explore: where cells open, None = nowhere.  tabs: to change over to it."""

    def __init__(self, engine: Engine, session: gr.State, explore: ExploreTab | None, tabs: gr.Tabs):
        self.engine, self.session, self.explore, self.tabs = engine, session, explore, tabs
        self._stops: dict[str, threading.Event] = {}  # of the grids that are being made, by visitor
        self._build()
        self._wire()

    def _build(self) -> None:
        gr.HTML(
            note(
                "<b>Mixer.</b> Up to four pictures, each with a weight in each band. Weights count against each other: "
                "1 and 1 is half and half; all at 0 leaves the first."
            ),
            padding=False,
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=320):
                self.seeds, self.weights, self.faces = [], [], []
                with gr.Row(equal_height=False):
                    for i in range(SOURCES):
                        with gr.Column(min_width=130):
                            self.faces.append(gr.HTML(padding=False))
                            self.seeds.append(
                                gr.Number(i + 1, label=f"Seed {i + 1}", precision=0, minimum=0, maximum=MAX_SEED, elem_id=f"mixer-seed-{i}")
                            )
                            for band in LAYER_RANGE_NAMES:
                                first = 1.0 if i == 0 else 0.0
                                self.weights.append(gr.Slider(0, 1, first, step=0.05, label=band.capitalize(), elem_id=f"mixer-{band}-{i}"))
            with gr.Column(scale=4, min_width=300, elem_id="mixer-result"):
                self.stage = gr.HTML(empty_html("Move a weight to begin."), padding=False, elem_id="mixer-stage")
                with gr.Row(elem_classes="gs-tools") as self.tools:
                    self.open = gr.Button("Open in Explore", visible=self.explore is not None, elem_id="mixer-open")
        press = " Press a cell to open it in Explore." if self.explore is not None else ""
        gr.HTML(
            note("<b>Style mixing.</b> Each cell keeps the row's picture and takes the chosen layers from the column's." + press),
            padding=False,
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self.rows = gr.Textbox("1-4", label="Rows: seeds of the pictures that are kept", elem_id="mix-rows")
                self.columns = gr.Textbox("11-14", label="Columns: seeds whose style is taken", elem_id="mix-columns")
                self.band = gr.Radio(_BANDS, value="middle", label="Layers taken from the column", elem_id="mix-band")
                with gr.Row(visible=False) as self.range_box:
                    self.low = gr.Slider(0, 17, 0, step=1, label="First layer")
                    self.high = gr.Slider(0, 17, 3, step=1, label="Last layer")
                self.psi = gr.Slider(-1, 1.5, 0.7, step=0.01, label="Boldness (truncation psi)")
                with gr.Row(elem_classes="gs-tools"):
                    self.make = gr.Button("Make the grid", variant="primary", elem_id="mix-make")
                    self.stop = gr.Button("Stop", visible=False, elem_id="mix-stop")
            with gr.Column(scale=6, min_width=320):
                self.grid = press_grid(
                    value=empty_html("The grid appears here: choose seeds and press <b>Make the grid</b>."), elem_id="mix-grid"
                )

    def _wire(self) -> None:
        s = self.session
        self.band.input(lambda band: gr.update(visible=band == "own"), self.band, self.range_box, **QUIET)
        making = self.make.click(friendly(self._begin), s, self.stop, **QUIET).then(
            friendly(self._grid),
            [s, self.rows, self.columns, self.band, self.low, self.high, self.psi],
            self.grid,
            **WORK,
        )
        for ended in (making.success, making.failure):
            ended(lambda: gr.update(visible=False), None, self.stop, **QUIET)
        self.stop.click(friendly(lambda session: self._stop_of(session).set()), s, None, **QUIET)
        inputs = [s, self.psi, *self.seeds, *self.weights]
        gr.on([x.input for x in (*self.weights, self.psi)], friendly(self._mixer), inputs, self.stage, **LIVE)
        entered = [trigger for number in self.seeds for trigger in (number.submit, number.blur)]
        gr.on(entered, friendly(self._faces), inputs, [*self.faces, self.stage], **LIVE)
        if self.explore is not None:
            self.grid.select(friendly(self._open_cell), s, [self.tabs, *self.explore.outputs], **QUIET)
            self.open.click(friendly(self._open_mixer), s, [self.tabs, *self.explore.outputs], **QUIET)

    def enter(self, session: Session, *values) -> list:
        """When the tab is opened: pictures of the sources, and the mix."""
        return self._faces(session, *values)

    @property
    def enter_inputs(self) -> list:
        """Inputs of `enter` after the session."""
        return [self.psi, *self.seeds, *self.weights]

    @property
    def enter_outputs(self) -> list:
        """Outputs of `enter`."""
        return [*self.faces, self.stage]

    @property
    def target(self) -> Target:
        """For other tabs: a picture becomes the first row of the grid and the first source of the mixer."""
        outputs = [self.rows, self.psi, self.seeds[0], self.tabs, *(self.explore.outputs if self.explore is not None else [])]
        return Target("mix", "Put into Mix", self._take, [self.rows], outputs)

    def _take(self, session: Session, recipe: Recipe, rows: str) -> list:
        try:
            others = [s for s in parse_seeds(rows, _MOST) if s != recipe.seed]
        except StudioError:  # something half written, which the picture replaces
            others = []
        session.recipe = recipe  # Mix takes its model and its classes from there
        opened = self.explore.show(session) if self.explore is not None else []
        text = ", ".join(str(s) for s in [recipe.seed, *others][:_MOST])
        return [text, recipe.psi, recipe.seed, gr.update(selected="mix"), *opened]

    # -- the grid ------------------------------------------------------------------------------------------------

    def _stop_of(self, session: Session) -> threading.Event:
        return self._stops.setdefault(session.id, threading.Event())

    def _begin(self, session: Session) -> dict:
        self._stop_of(session).clear()
        return gr.update(visible=True)

    def _grid(
        self,
        session: Session,
        rows: str,
        columns: str,
        band: str,
        low: float,
        high: float,
        psi: float,
        progress: gr.Progress = gr.Progress(),
    ) -> str:
        now = session.open()
        model = self.engine.model(now.model)
        row_seeds, column_seeds = parse_seeds(rows, _MOST), parse_seeds(columns, _MOST)
        if band == "own":
            if not 0 <= low <= high < model.num_ws:
                raise StudioError(f"Layers {low:g} to {high:g} are no range of this model.", f"It has the layers 0 to {model.num_ws - 1}.")
            layers = (int(low), int(high) + 1)
        else:
            layers = layer_ranges(model.num_ws)[band]
        cells = mix_grid(now.model, row_seeds, column_seeds, layers, psi, now.noise, now.classes)
        plain = {
            seed: Recipe(model=now.model, seeds=(SeedWeight(seed),), psi=psi, noise=now.noise, classes=now.classes)
            for seed in {*row_seeds, *column_seeds}
        }
        recipes = [*plain.values(), *(c for row in cells for c in row)]
        pictures = self.engine.render_many(
            recipes, preview=True, progress=lambda done, all_: progress((done, all_), unit="pictures"), cancel=self._stop_of(session).is_set
        )
        faces = dict(zip(plain, pictures, strict=False))
        inner = iter(pictures[len(plain) :])
        small = len(pictures[0]) <= 128
        out, session.mix_cells = [{"head": True, "label": "↓ with →"}], [None]
        for seed in column_seeds:
            out.append({"src": data_url(faces[seed]), "label": f"seed {seed}", "small": small, "head": True})
            session.mix_cells.append(None)
        for seed, row in zip(row_seeds, cells, strict=True):
            out.append({"src": data_url(faces[seed]), "label": f"seed {seed}", "small": small, "head": True})
            session.mix_cells.append(None)
            for column, recipe in zip(column_seeds, row, strict=True):
                out.append({"src": data_url(next(inner)), "small": small, "alt": f"{seed} with the style of {column}"})
                session.mix_cells.append(recipe)
        return cells_html(out, columns=len(column_seeds) + 1)

    def _open_cell(self, session: Session, event: gr.EventData) -> list:
        index = event._data.get("index")
        recipe = session.mix_cells[index] if isinstance(index, int) and 0 <= index < len(session.mix_cells) else None
        if recipe is None:
            raise StudioError("That cell is no longer here.", "Make the grid again.")
        return self.explore.open_recipe(session, recipe)

    # -- the mixer -----------------------------------------------------------------------------------------------

    def _recipe(self, session: Session, psi: float, values: tuple) -> Recipe:
        now = session.open()
        seeds = [check_seed(v) for v in values[:SOURCES]]
        weights = [values[SOURCES + 3 * i : SOURCES + 3 * i + 3] for i in range(SOURCES)]
        mixes = []
        for b, layers in enumerate(layer_ranges(self.engine.model(now.model).num_ws).values()):
            shares = [float(w[b]) for w in weights]
            total = sum(shares)
            for seed, share in zip(seeds[1:], shares[1:], strict=True):
                if share > 0:
                    mixes.append(Mix(seed, layers, share / total))
        return Recipe(model=now.model, seeds=(SeedWeight(seeds[0]),), psi=psi, mixes=tuple(mixes), noise=now.noise, classes=now.classes)

    def _mixer(self, session: Session, psi: float, *values) -> str:
        session.mixer = self._recipe(session, psi, values)
        picture = self.engine.submit(f"{session.id}/mixer", session.mixer).result()
        return stage_html(picture, "The mix of the sources")

    def _faces(self, session: Session, psi: float, *values) -> list:
        now = session.open()
        seeds = [check_seed(v) for v in values[:SOURCES]]
        recipes = [Recipe(model=now.model, seeds=(SeedWeight(s),), psi=psi, noise=now.noise, classes=now.classes) for s in seeds]
        faces = [stage_html(p, f"Seed {s}") for s, p in zip(seeds, self.engine.render_many(recipes, preview=True), strict=True)]
        return [*faces, self._mixer(session, psi, *values)]

    def forget(self, session: Session) -> None:
        """The visitor has left."""
        self._stops.pop(session.id, threading.Event()).set()
        self.engine.cancel(f"{session.id}/mixer")

    def add_targets(self, targets: list[Target]) -> None:
        """Tabs that the mix can go to. Called once all tabs are built."""
        with self.tools:
            target_buttons(targets, "mixer", self.session, self._mixed)

    def _mixed(self, session: Session) -> Recipe:
        """The mix. Raises StudioError when there is none."""
        if session.mixer is None:
            raise StudioError("There is no mix yet.", "Move a weight first.")
        return session.mixer

    def _open_mixer(self, session: Session) -> list:
        return self.explore.open_recipe(session, self._mixed(session))

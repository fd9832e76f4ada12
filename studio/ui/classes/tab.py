"""Classes: what kinds of pictures a model draws, alone, blended and side by side; walks between them, and sets to keep."""

import datetime
import html
import random
import threading
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.events import Dependency

from studio.engine.recipe import ClassWeight, Recipe, SeedWeight
from studio.errors import StudioError
from studio.latents.seeds import MAX_SEED, check_seed
from studio.models.folder import ModelInfo, count_classes
from studio.outputs.class_sets import export_set, fill_up
from studio.outputs.clips import save_clip
from studio.outputs.sheets import walk_recipes
from studio.ui.components.handlers import LIVE, QUIET, Outputs, event_value, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.pictures import data_url, file_url, stage_html
from studio.ui.components.press_grid import cells_html, press_grid
from studio.ui.components.progress import WorkProgress
from studio.ui.components.tab import Page, Tab, TabState
from studio.ui.components.targets import Target
from studio.ui.session import Session

MOST = 8  # classes chosen at once, each with a weight
_CHIPS = 24  # on the page at once; a search finds the others
_FACES = 2000  # example pictures kept in memory, a few KB each
_DICE_SEEDS = 1_000_000
_BLEND, _ROW = "blend", "row"
_MODES = [("These together (blend)", _BLEND), ("Each class with the same seed (row)", _ROW)]
_COUNTS = {_BLEND: ("Pictures: this seed and the next ones", 8), _ROW: ("Rows: this seed and the next ones", 2)}
_EACH, _FILL = "each", "fill"
_WAYS = [("The same number of each class (balanced)", _EACH), ("Fill up what one of my image sets lacks", _FILL)]
_NOTHING = (
    "<b>No model here has classes.</b><br>Train one in the Train tab with a sub-folder for each kind of picture and "
    "<i>Learn the kinds of pictures too</i> ticked, or import a class-conditional model; it then appears here."
)


@dataclass
class ClassesState(TabState):
    """What one visitor does here."""

    model: str = ""
    followed: str = ""  # the model of Explore that was taken over last
    chosen: list[int] = field(default_factory=list)  # classes in the order in which they were pressed
    listed: list[int] = field(default_factory=list)  # classes whose chips are on the page
    cells: list[Recipe] = field(default_factory=list)
    shown: list[dict] = field(default_factory=list)  # the cells as they are drawn
    columns: int = 4
    selected: int = 0
    drawing: threading.Lock = field(default_factory=threading.Lock)
    drawn: int = 0  # number of the newest drawing of the grid


class ClassesTab(Tab[ClassesState]):
    """Classes alone, blended and side by side."""

    id, state_type = "classes", ClassesState

    def __init__(self, page: Page):
        self.datasets = page.datasets
        self._faces: dict[tuple[str, int], str] = {}  # (hash of the model, class) -> its example picture as a URL
        super().__init__(page)

    def _visit(self, session: Session | None) -> ClassesState:
        return self.state_of(session)

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.nothing = gr.HTML(empty_html(_NOTHING), visible=False, padding=False, elem_id="classes-nothing")
        with gr.Column() as self.body:
            gr.HTML(
                note(
                    "<b>Classes.</b> The kinds of pictures that the model was taught. Press one to see it; press several to blend "
                    "them or to see them side by side. The seed stays while classes change."
                ),
                padding=False,
            )
            self.whose = gr.HTML("", visible=False, padding=False, elem_id="classes-whose")
            self.find = gr.Textbox("", label="Find a class", placeholder="Part of its name", visible=False, elem_id="classes-find")
            self.chips = press_grid(elem_id="classes-chips")
            with gr.Row(equal_height=False):
                with gr.Column(scale=6, min_width=320, elem_id="classes-result"):
                    self.stage = gr.HTML(empty_html("Waking the model ..."), padding=False, elem_id="classes-stage")
                    self.tools = gr.Row(elem_classes="gs-tools")
                with gr.Column(scale=4, min_width=300):
                    self.model = gr.Dropdown([], label="Model", visible=False, elem_id="classes-model")
                    self.mode = gr.Radio(_MODES, value=_BLEND, label="Chosen classes", elem_id="classes-mode")
                    self.weights = [
                        gr.Slider(0, 1, 1, step=0.05, label="Weight", visible=False, elem_id=f"classes-weight-{i}") for i in range(MOST)
                    ]
                    with gr.Row(elem_classes="gs-tools"):
                        self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, elem_id="classes-seed")
                        self.dice = gr.Button("Another seed", elem_id="classes-dice")
                    self.psi = gr.Slider(-1, 1.5, 0.7, step=0.01, label="Boldness (truncation psi)", elem_id="classes-psi")
                    self.count = gr.Slider(1, 32, _COUNTS[_BLEND][1], step=1, label=_COUNTS[_BLEND][0], elem_id="classes-count")
            self.grid = press_grid(elem_id="classes-grid")
            with gr.Row(equal_height=False, elem_id="classes-more"):
                with gr.Column(min_width=300):
                    gr.HTML(
                        note(
                            "<b>A walk from class to class.</b> Through the chosen classes in their order, with one seed, and back to "
                            "the first; with one chosen, through the first eight."
                        ),
                        padding=False,
                    )
                    self.frames = gr.Slider(12, 240, 48, step=12, label="Frames", elem_id="classes-frames")
                    with gr.Row(elem_classes="gs-tools"):
                        self.walk = gr.Button("Walk", variant="primary", elem_id="classes-walk")
                        self.walk_stop = gr.Button("Stop", visible=False, elem_id="classes-walk-stop")
                    self.walk_view = gr.HTML("", visible=False, padding=False, elem_id="classes-walk-view")
                    with gr.Row(elem_classes="gs-tools"):
                        self.mp4 = gr.DownloadButton("Download MP4", visible=False, elem_id="classes-mp4")
                        self.webp = gr.DownloadButton("Download WebP", visible=False, elem_id="classes-webp")
                with gr.Column(min_width=300):
                    gr.HTML(
                        note(
                            "<b>Export a set.</b> A zip with a folder a class and a list of seeds and recipes, to train on or to give "
                            "away. Seeds count up from the one above; at a boldness of 1 pictures vary as the model learnt."
                        ),
                        padding=False,
                    )
                    self.way = gr.Radio(_WAYS, value=_EACH, label="How many", visible=self.datasets is not None, elem_id="classes-way")
                    self.each = gr.Number(10, label="Pictures a class", precision=0, minimum=1, maximum=100_000, elem_id="classes-each")
                    self.set = gr.Dropdown([], label="Image set to fill up", visible=False, elem_id="classes-set")
                    self.advice = gr.HTML("", visible=False, padding=False, elem_id="classes-advice")
                    self.only = gr.Checkbox(False, label="Only the chosen classes", elem_id="classes-only")
                    self.same = gr.Checkbox(False, label="The same seeds in each class", elem_id="classes-same")
                    with gr.Row(elem_classes="gs-tools"):
                        self.export = gr.Button("Export", variant="primary", elem_id="classes-export")
                        self.export_stop = gr.Button("Stop", visible=False, elem_id="classes-export-stop")
                    self.export_note = gr.HTML("", padding=False, elem_id="classes-export-note")
                    self.file = gr.DownloadButton("Download the set", visible=False, elem_id="classes-download")

    @property
    def controls(self) -> list:
        """What pictures are made from, beside the chosen classes."""
        return [self.mode, self.seed, self.psi, self.count, *self.weights]

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s, inputs = self.session, [self.session, *self.controls]
        pictures, pressed = [self.stage, self.grid], [self.chips, *self.weights, self.stage, self.grid]
        self.model.input(friendly(self._choose_model), [s, self.model, *self.controls], [self.find, *pressed], **QUIET).then(
            friendly(self.draw_chips), [s, self.find], self.chips, **QUIET
        )
        self.find.change(friendly(self.draw_chips), [s, self.find], self.chips, **LIVE)
        self.chips.select(friendly(self._press), inputs, pressed, **QUIET, trigger_mode="multiple")
        self.mode.input(friendly(self._set_mode), [s, self.mode], [self.count, *self.weights], **QUIET).then(
            friendly(self._draw), inputs, pictures, **QUIET
        )
        gr.on([x.input for x in (self.psi, *self.weights)], friendly(self._live), inputs, self.stage, **LIVE)
        let_go = [x.release for x in (self.psi, self.count, *self.weights)]
        gr.on([*let_go, self.seed.submit, self.seed.blur], friendly(self._draw), inputs, pictures, **LIVE)
        self.dice.click(lambda: random.randrange(_DICE_SEEDS), None, self.seed, **QUIET).then(
            friendly(self._draw), inputs, pictures, **QUIET
        )
        self.grid.select(friendly(self._select), s, pictures, **QUIET)

        clip = [self.walk_view, self.mp4, self.webp]
        self.long_work("walk", self.walk, self.walk_stop, self._walk, [s, self.frames, self.seed, self.psi], clip, view=self.walk_view)
        wanted = [s, self.way, self.each, self.set, self.only, self.same, self.seed, self.psi]
        made = [self.export_note, self.file]
        self.long_work("export", self.export, self.export_stop, self._export, wanted, made, view=self.export_note, hide=[self.file])
        self.way.input(friendly(self._set_way), [s, self.way, self.set], [self.each, self.set, self.advice], **QUIET)
        self.set.input(friendly(self._advise), [s, self.set], self.advice, **QUIET)

    # -- opening -------------------------------------------------------------------------------------------------

    @property
    def enter_inputs(self) -> list:
        """Inputs of `enter` after the session."""
        return [self.way, self.set, *self.controls]

    @property
    def enter_outputs(self) -> list:
        """Outputs of `enter`."""
        page = [self.nothing, self.body, self.whose, self.model, self.seed, self.psi, self.set]
        return [*page, self.find, self.chips, *self.weights, self.stage, self.grid]

    def enter(self, session: Session, way: str, set_id: str | None, mode: str, seed, psi, count, *weights) -> list:
        """When the tab is opened: the model of Explore, when it is another than before and has classes, or the last one here."""
        visit = self._visit(session)
        found = self._models()
        if not found:
            return [gr.update(visible=True), gr.update(visible=False), *[gr.skip()] * (len(self.enter_outputs) - 2)]
        ids = [m.id for m in found]
        there = session.recipe
        if there is not None and there.model in ids and there.model != visit.followed:
            visit.model, visit.chosen = there.model, []
            seed, psi = there.seed, there.psi
            if len(there.classes) <= MOST:
                visit.chosen, weights = [c.index for c in there.classes], [min(c.weight, 1.0) for c in there.classes]
        elif visit.model not in ids:
            visit.model, visit.chosen = ids[0], []
        visit.followed = there.model if there is not None else ""
        whose = ""
        titles = {m.id: html.escape(m.title) for m in self.engine.library.scan()[0]}
        if there is not None and there.model in titles and there.model not in ids:
            theirs, ours = titles[there.model], titles[visit.model]
            whose = note(f"The model in Explore, <b>{theirs}</b>, has no classes. Here is <b>{ours}</b>, which has.")
        sets = [(s.title, s.id) for s in self.datasets.list() if s.classes] if self.datasets is not None else []
        set_id = set_id if set_id in [i for _, i in sets] else (sets[0][1] if sets else None)
        return [
            gr.update(visible=False),
            gr.update(visible=True),
            gr.update(value=whose, visible=bool(whose)),
            gr.update(choices=[(m.title, m.id) for m in found], value=visit.model, visible=len(found) > 1),
            seed,
            psi,
            gr.update(choices=sets, value=set_id, visible=way == _FILL),
            *self._open(visit, session, mode, seed, psi, count, *weights),
        ]

    def _models(self) -> list[ModelInfo]:
        return [m for m in self.engine.library.scan()[0] if count_classes(m)]

    def _open(self, visit: ClassesState, session: Session, mode: str, seed, psi, count, *weights) -> list:
        """Everything that belongs to the model: for [find, chips, weights, stage, grid]."""
        classes = self.engine.model(visit.model).classes
        kept = {k: w for k, w in zip(visit.chosen, weights, strict=False) if k < len(classes)} or {0: 1.0}
        visit.chosen, visit.listed, visit.selected = list(kept), [], 0
        find = gr.update(value="", visible=len(classes) > _CHIPS)
        return [find, *self._pressed(visit, session, mode, seed, psi, count, *kept.values())]

    def _choose_model(self, session: Session, model: str, *values) -> list:
        visit = self._visit(session)
        if model != visit.model:
            visit.model, visit.chosen = self.engine.library.get(model).id, []
        return self._open(visit, session, *values)

    # -- chips ---------------------------------------------------------------------------------------------------

    def after_enter(self, entered: Dependency) -> Dependency:
        return entered.then(friendly(self.draw_chips), [self.session, self.find], self.chips, **QUIET)

    def draw_chips(self, session: Session, find: str = "") -> str | dict[str, Any]:
        """The chips with their example pictures, which are rendered the first time."""
        visit = self._visit(session)
        if not visit.model:
            return gr.skip()
        info, classes = self.engine.library.get(visit.model), self.engine.model(visit.model).classes
        word = (find or "").casefold().strip()
        matching = [i for i, name in enumerate(classes) if word in name.casefold()]
        visit.listed = [*visit.chosen, *(i for i in matching if i not in visit.chosen)] if len(classes) > _CHIPS else matching
        visit.listed = visit.listed[: max(_CHIPS, len(visit.chosen))]
        missing = [i for i in visit.listed if (info.hash, i) not in self._faces]
        if len(self._faces) > _FACES:
            self._faces.clear()
            missing = visit.listed
        faces = [Recipe(model=info.id, seeds=(SeedWeight(0),), psi=0.7, classes=(ClassWeight(i),)) for i in missing]
        for i, picture in zip(missing, self.engine.render_many(faces, preview=True), strict=True):
            self._faces[info.hash, i] = data_url(picture)
        return self._chips_html(visit)

    def _chips_html(self, visit: ClassesState) -> str:
        info, classes = self.engine.library.get(visit.model), self.engine.model(visit.model).classes
        visit.listed = visit.listed or list(range(min(len(classes), _CHIPS)))
        small = info.resolution <= 128
        cells = [{"src": self._faces.get((info.hash, i), ""), "label": classes[i], "alt": classes[i], "small": small} for i in visit.listed]
        return cells_html(cells, selected={visit.listed.index(k) for k in visit.chosen if k in visit.listed})

    def _press(self, session: Session, event: gr.EventData, mode: str, seed, psi, count, *weights) -> list:
        """A chip chooses its class, or lets go of it; one always stays. Each class keeps its weight."""
        visit, index = self._visit(session), event_value(event, "index")
        if not (isinstance(index, int) and 0 <= index < len(visit.listed)):
            raise StudioError("That class is no longer here.", "Press another.")
        pressed = visit.listed[index]
        if pressed not in visit.chosen and len(visit.chosen) >= MOST:
            raise StudioError(f"{MOST} classes are chosen already.", "Press one of them to let it go.")
        weight = dict(zip(visit.chosen, weights, strict=False))
        if pressed not in visit.chosen:
            visit.chosen = [*visit.chosen, pressed]
            weight[pressed] = 1.0
        elif len(visit.chosen) > 1:
            visit.chosen = [k for k in visit.chosen if k != pressed]
        return self._pressed(visit, session, mode, seed, psi, count, *(weight[k] for k in visit.chosen))

    def _pressed(self, visit: ClassesState, session: Session, mode: str, seed, psi, count, *weights) -> list:
        """For [chips, weights, stage, grid] after other classes were chosen, each with its weight."""
        values = [*weights, *[1.0] * MOST][:MOST]
        sliders = [{**slider, "value": value} for slider, value in zip(self._sliders(visit, mode), values, strict=True)]
        try:
            pictures = self._draw(session, mode, seed, psi, count, *weights)
        except CancelledError:
            pictures = [gr.skip(), gr.skip()]
        return [self._chips_html(visit), *sliders, *pictures]

    # -- pictures ------------------------------------------------------------------------------------------------

    def _recipes(self, visit: ClassesState, mode: str, seed, psi, count, *weights) -> list[list[Recipe]]:
        """Rows of recipes: one row of a blend in several seeds, or one row a seed with a class in each cell."""
        seed, count = check_seed(seed), max(1, min(32, int(count or 1)))
        seeds = [(seed + i) % (MAX_SEED + 1) for i in range(count)]

        def recipe(seed: int, classes: tuple[ClassWeight, ...]) -> Recipe:
            return Recipe(model=visit.model, seeds=(SeedWeight(seed),), psi=psi, classes=classes)

        if mode == _ROW:
            return [[recipe(s, (ClassWeight(k),)) for k in self._chosen_or_first(visit)] for s in seeds]
        shares = [ClassWeight(k, w) for k, w in zip(visit.chosen, weights, strict=False) if w and w > 0]
        if len(shares) < 2:  # alone it needs no weight; and when all are at 0, the first remains
            shares = [ClassWeight(shares[0].index if shares else visit.chosen[0])]
        return [[recipe(s, tuple(shares)) for s in seeds]]

    def _chosen_or_first(self, visit: ClassesState) -> list[int]:
        """The chosen classes, or, when one is not enough, the first ones beside it."""
        if len(visit.chosen) > 1:
            return visit.chosen
        return list(range(min(MOST, len(self.engine.model(visit.model).classes))))

    def _draw(self, session: Session, mode: str, seed, psi, count, *weights) -> list:
        """The grid and the large picture, for [stage, grid]. Raises CancelledError when a newer drawing has begun: the field
        of the seed draws when it is left, and so does the chip that is pressed by that."""
        visit = self._visit(session)
        if not visit.model:
            return [gr.skip(), gr.skip()]
        with visit.drawing:
            number = visit.drawn = visit.drawn + 1
        rows = self._recipes(visit, mode, seed, psi, count, *weights)
        cells = [c for row in rows for c in row]
        pictures = self.engine.render_many(cells, preview=True, cancel=lambda: visit.drawn != number)
        classes, small = self.engine.model(visit.model).classes, len(pictures[0]) <= 128
        shown = []
        for recipe, picture in zip(cells, pictures, strict=True):
            label = f"{classes[recipe.classes[0].index]} · {recipe.seed}" if mode == _ROW else f"seed {recipe.seed}"
            shown.append({"src": data_url(picture), "small": small, "label": label})
        with visit.drawing:
            if visit.drawn != number:
                raise CancelledError()
            visit.cells, visit.shown = cells, shown
            visit.columns = len(rows[0]) if mode == _ROW else min(8, len(cells))
            visit.selected = visit.selected if visit.selected < len(cells) else 0
            return self._look(session, visit)

    def _look(self, session: Session, visit: ClassesState) -> list:
        recipe = visit.cells[visit.selected]
        picture = self.engine.submit(f"{session.id}/classes", recipe).result()
        grid = cells_html(visit.shown, columns=visit.columns, selected=visit.selected)
        loose = "loose" if len(recipe.classes) != 1 or len({c.classes for c in visit.cells}) == 1 else ""  # no rows to keep together
        return [stage_html(picture, self._words(recipe)), f'<div class="{loose}" style="max-width:{visit.columns * 160}px">{grid}</div>']

    def _words(self, recipe: Recipe) -> str:
        classes = self.engine.model(recipe.model).classes
        return f"{' and '.join(classes[c.index] for c in recipe.classes)}, seed {recipe.seed}"

    def _live(self, session: Session, *values) -> str | dict[str, Any]:
        """While a slider is held only the large picture follows."""
        visit = self._visit(session)
        if not visit.model:
            return gr.skip()
        cells = [c for row in self._recipes(visit, *values) for c in row]
        recipe = cells[min(visit.selected, len(cells) - 1)]
        return stage_html(self.engine.submit(f"{session.id}/classes", recipe).result(), self._words(recipe))

    def _select(self, session: Session, event: gr.EventData) -> list:
        visit, index = self._visit(session), event_value(event, "index")
        if not (isinstance(index, int) and 0 <= index < len(visit.cells)):
            raise StudioError("That picture is no longer here.", "Press another.")
        visit.selected = index
        return self._look(session, visit)

    def _set_mode(self, session: Session, mode: str) -> list:
        """Other meanings of the count, and weights only where they count. For [count, weights]."""
        label, value = _COUNTS[mode]
        return [gr.update(label=label, value=value), *self._sliders(self._visit(session), mode)]

    def _sliders(self, visit: ClassesState, mode: str) -> list:
        """For the weights: one for each class of a blend."""
        shown = visit.chosen if mode == _BLEND and len(visit.chosen) > 1 else []
        classes = self.engine.model(visit.model).classes if visit.model else ()
        return [gr.update(label=f"Weight of {classes[k]}", visible=True) for k in shown] + [gr.update(visible=False)] * (MOST - len(shown))

    def forget(self, session: Session) -> None:
        """The visitor has left."""
        super().forget(session)
        self.engine.cancel(f"{session.id}/classes")

    def add_targets(self, targets: list[Target]) -> None:
        """Tabs that the chosen picture can go to. Called once all tabs are built."""
        with self.tools:
            self.target_buttons(targets, self._selected)

    def _selected(self, session: Session) -> Recipe:
        """The chosen picture. Raises StudioError when there is none."""
        visit = self._visit(session)
        if not visit.cells:
            raise StudioError("There is no picture yet.", "Choose a class first.")
        return visit.cells[visit.selected]

    # -- the walk ------------------------------------------------------------------------------------------------

    def _walk(self, session: Session, frames: float, seed, psi, progress: gr.Progress = gr.Progress()) -> Outputs:
        visit = self._visit(session)
        keys = [
            Recipe(model=visit.model, seeds=(SeedWeight(seed),), psi=psi, classes=(ClassWeight(k),)) for k in self._chosen_or_first(visit)
        ]
        recipes = walk_recipes(self.engine, keys, int(frames), closed=True)
        pictures = self.engine.render_many(
            recipes,
            progress=lambda done, all_: progress((done, all_), desc="Rendering the walk", unit="frames"),
            cancel=self.stopping(session, "walk"),
        )
        progress(1.0, desc="Writing MP4 and WebP")
        path = session.workspace.output("classes", f"{_moment()}-{visit.model}-walk")
        mp4, webp = (save_clip(pictures, path.with_name(path.name + ending)) for ending in (".mp4", ".webp"))
        view = f'<div class="gs-stage"><img alt="The walk through the classes" class="small" src="{file_url(webp)}"></div>'
        files = {part: gr.update(value=str(p), visible=True) for part, p in ((self.mp4, mp4), (self.webp, webp))}
        return {self.walk_view: gr.update(value=view, visible=True), **files}

    # -- sets ----------------------------------------------------------------------------------------------------

    def _set_way(self, session: Session, way: str, set_id: str | None) -> list:
        filling = way == _FILL
        advice = gr.update(value=self._advise(session, set_id) if filling else "", visible=filling)
        return [gr.update(visible=not filling), gr.update(visible=filling and bool(set_id)), advice]

    def _advise(self, session: Session, set_id: str | None) -> str:
        """What filling up would make, in a sentence or two."""
        if not set_id or self.datasets is None:
            return note("No image set here has classes. Take one in with sub-folders in the Train tab.")
        classes = self.engine.model(self._visit(session).model).classes
        filling = fill_up(self.datasets.get(set_id).classes, classes)
        parts = [f"{n:,} {html.escape(classes[k])}" for k, n in list(filling.make.items())[:12]]
        more = f" and {len(filling.make) - 12:,} classes more" if len(filling.make) > 12 else ""
        text = f"To be made: {', '.join(parts)}{more}." if parts else "Nothing is to be made."
        if filling.unmatched:
            names = ", ".join(html.escape(n) for n in filling.unmatched[:12])
            text += f" This model draws no class of the name {names}{', ...' if len(filling.unmatched) > 12 else ''}."
        return note(text)

    def _wanted(self, visit: ClassesState, way: str, each, set_id: str | None, only: bool) -> dict[int, int]:
        """Class -> how many pictures."""
        classes = self.engine.model(visit.model).classes
        if way == _FILL:
            if not set_id or self.datasets is None:
                raise StudioError("There is no image set to fill up.", "Take one in with sub-folders in the Train tab.")
            wanted = fill_up(self.datasets.get(set_id).classes, classes).make
        else:
            if not isinstance(each, (int, float)) or each < 1:
                raise StudioError("The number of pictures a class is missing.", "Write a whole number, such as 10.")
            wanted = dict.fromkeys(range(len(classes)), int(each))
        wanted = {k: n for k, n in wanted.items() if not only or k in visit.chosen}
        if not wanted:
            raise StudioError("Nothing is to be made.", "The set is balanced, or this model and the choice above draw none of its classes.")
        return wanted

    def _export(
        self, session: Session, way: str, each, set_id: str | None, only: bool, same: bool, seed, psi, progress: gr.Progress = gr.Progress()
    ) -> Outputs:
        visit = self._visit(session)
        wanted = self._wanted(visit, way, each, set_id, only)
        path = export_set(
            self.engine,
            visit.model,
            wanted,
            session.workspace.output("classes", f"{_moment()}-{visit.model}-set.zip"),
            float(psi),
            check_seed(seed),
            same,
            WorkProgress(progress, "Pictures"),
            self.stopping(session, "export"),
        )
        text = f"{sum(wanted.values()):,} pictures of {len(wanted):,} classes. {session.workspace.saved_note(path)}"
        return {self.export_note: note(text), self.file: gr.update(value=str(path), visible=True)}


def _moment() -> str:
    return datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]

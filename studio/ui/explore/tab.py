"""Explore: one picture, and every way to move from it to the next."""

import dataclasses
import datetime
import functools
import html
import json
import random
from pathlib import Path

import gradio as gr

from studio.engine.recipe import ClassWeight, Noise, Recipe, SeedWeight, Transform
from studio.errors import StudioError
from studio.latents.seeds import MAX_SEED, check_seed
from studio.models.folder import ModelInfo
from studio.networks import Task
from studio.outputs.clips import save_clip
from studio.outputs.sheets import variations, walk_at, walk_recipes
from studio.provenance.metadata import read_recipe, save_picture
from studio.provenance.policy import file_stem, provenance_policy
from studio.settings import get_settings
from studio.ui.components.handlers import LIVE, QUIET, Outputs, event_value, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.pad import pad, pad_html
from studio.ui.components.pictures import data_url, file_url, stage_html
from studio.ui.components.press_grid import cells_html, press_grid, pressed
from studio.ui.components.tab import Tab, TabState
from studio.ui.components.targets import Target
from studio.ui.components.thumbnails import model_cells
from studio.ui.session import (
    LAYER_CHOICES,
    PAD_REACH,
    Session,
    chosen_layers,
    edit_strength,
    pad_position,
    with_edit,
)

SLIDERS = 8
_DICE_SEEDS = 1_000_000  # a dice throws seeds that are easy to read and to write down
_PLACES = ("x", "y", "rotate")  # of a Transform, in the order of their sliders
_NOISE_MODES = [("As learned", "const"), ("Thrown anew", "random"), ("Off", "none")]
_KEYS = '<div class="gs-note keys">Keys: space surprises · ← → neighbours · z undo · y redo</div>'
_EMPTY = (
    "<b>No model here yet.</b><br>Put a model folder into <code>{folder}</code>, then reload this page; or add a checkpoint "
    "in the Models tab, and open it from there."
)


class ExploreTab(Tab[TabState]):
    """One picture, and every way to move from it to the next.

    `outputs` and `show` let other tabs open a recipe here.
    """

    id = "explore"

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        with gr.Row(equal_height=False, elem_id="explore-page"):
            with gr.Column(scale=6, min_width=320, elem_id="explore-left"):
                self.stage = gr.HTML(empty_html("Waking the model ..."), elem_id="explore-stage", padding=False)
                self.notice = gr.HTML("", visible=False, padding=False)
                with gr.Row(elem_classes="gs-tools", elem_id="explore-move"):
                    self.dice = gr.Button("Surprise me", variant="primary", elem_id="dice")
                    self.previous = gr.Button("← Previous", elem_id="previous")
                    self.next = gr.Button("Next →", elem_id="next")
                    self.undo = gr.Button("Undo", elem_id="undo")
                    self.redo = gr.Button("Redo", elem_id="redo")
                with gr.Row(elem_classes="gs-tools", elem_id="explore-keep"):
                    self.save = gr.Button("Save picture", elem_id="save")
                    self.pin = gr.Button("Pin", elem_id="pin")
                    self.vary = gr.Button("Variations", elem_id="vary")
                    self.link = gr.Button("Link", elem_id="link")
                self.send = gr.Row(elem_classes="gs-tools", elem_id="explore-send")
                gr.HTML(_KEYS, padding=False)
                self.saved = gr.HTML("", visible=False, padding=False)
                self.download = gr.DownloadButton("Download it", visible=False, elem_id="download")
                self.link_text = gr.Textbox(
                    label="A link that reopens exactly this", visible=False, buttons=["copy"], interactive=False, elem_id="link-text"
                )
                with gr.Group(visible=False) as self.sheet_box:
                    gr.HTML(note("<b>Variations.</b> Press one to step there; the middle is where you are."), padding=False)
                    self.sheet = press_grid(elem_id="variations")
                    with gr.Row(elem_classes="gs-tools"):
                        self.spread = gr.Slider(0.1, 3, 1, step=0.1, label="How far apart", elem_id="spread")
                        self.sheet_again = gr.Button("Nine others")
                with gr.Group(visible=False) as self.pin_box:
                    gr.HTML(note("<b>Filmstrip.</b> Press a pin to return to it; with two or more, walk between them."), padding=False)
                    self.strip = press_grid(elem_id="filmstrip")
                    self.walk = gr.Slider(0, 1, 0, step=0.01, label="Walk along the pins", visible=False, elem_id="walk")
                    with gr.Row(elem_classes="gs-tools"):
                        self.frames = gr.Slider(12, 240, 48, step=12, label="Frames of the clip", visible=False)
                        self.clip = gr.Button("Make a clip", visible=False, elem_id="clip")
                        self.clip_stop = gr.Button("Stop", visible=False, elem_id="clip-stop")
                        self.unpin = gr.Button("Remove last pin")
                    self.clip_view = gr.HTML("", visible=False, padding=False)
                    self.clip_file = gr.DownloadButton("Download the clip", visible=False)
                with gr.Row(equal_height=False, elem_id="explore-near"):
                    with gr.Column(min_width=200):
                        gr.HTML(
                            note("<b>Wander nearby.</b> Drag the dot: the middle is this seed, the edges are its neighbours."),
                            padding=False,
                        )
                        self.pad = pad(elem_id="pad")
                    with gr.Column(min_width=200):
                        gr.HTML(note("<b>Return to a saved picture.</b> Its recipe is inside."), padding=False)
                        self.drop = gr.File(
                            label="Drop a PNG or WebP that was saved here",
                            file_types=[".png", ".webp"],
                            height=140,
                            elem_id="drop",
                            elem_classes="gs-drop",
                        )
            with gr.Column(scale=4, min_width=320, elem_id="explore-right"):
                self.models = press_grid(elem_id="models")
                self.classes = gr.Dropdown([], label="Class: what kind of picture", visible=False, elem_id="class")
                with gr.Row():
                    self.seed = gr.Number(
                        0, label="Seed: the number a picture grows from", precision=0, minimum=0, maximum=MAX_SEED, elem_id="seed"
                    )
                self.psi = gr.Slider(
                    -1,
                    1.5,
                    0.7,
                    step=0.01,
                    label="Boldness (truncation psi)",
                    elem_id="psi",
                    info="Low stays near the average picture, 1 is the model as trained, higher gets strange.",
                )
                gr.HTML(note("<b>Directions.</b> Each slider pulls the picture another way."), padding=False)
                self.layers = gr.Radio(
                    list(LAYER_CHOICES), value=LAYER_CHOICES[0], label="What the sliders change (layers)", elem_id="layers"
                )
                self.sliders = []
                for i in range(0, SLIDERS, 2):
                    with gr.Row(equal_height=True):
                        for j in (i, i + 1):
                            self.sliders.append(
                                gr.Slider(-3, 3, 0, step=0.05, label=f"Direction {j + 1}", elem_id=f"direction-{j}", min_width=150)
                            )
                with gr.Group(visible=False) as self.place_box:
                    gr.HTML(note("<b>Place.</b> Move and turn what is drawn."), padding=False)
                    with gr.Row(equal_height=True):
                        right = gr.Slider(-0.5, 0.5, 0, step=0.01, label="Left ↔ right", elem_id="place-x", min_width=150)
                        down = gr.Slider(-0.5, 0.5, 0, step=0.01, label="Up ↔ down", elem_id="place-y", min_width=150)
                    turn = gr.Slider(-180, 180, 0, step=1, label="Turn (degrees)", elem_id="place-rotate")
                    self.places = [right, down, turn]
                self.reset = gr.Button("Reset all sliders", size="sm", elem_id="reset")
                with gr.Accordion("Fine grain (noise)", open=False, elem_id="noise-box") as self.noise_box:
                    self.noise_mode = gr.Radio(_NOISE_MODES, value="const", label="Grain", elem_id="noise-mode")
                    self.noise_strength = gr.Slider(0, 3, 1, step=0.05, label="Strength of the grain", elem_id="noise-strength")
                    self.noise_seed = gr.Number(0, label="Seed of the grain", precision=0, minimum=0, maximum=MAX_SEED)

    @property
    def controls(self) -> list:
        """What is set when another recipe is opened."""
        return [
            self.models,
            self.classes,
            self.seed,
            self.psi,
            self.layers,
            *self.sliders,
            self.pad,
            self.noise_box,
            self.noise_mode,
            self.noise_strength,
            self.noise_seed,
            self.place_box,
            *self.places,
        ]

    @property
    def picture(self) -> list:
        """What changes with every picture."""
        return [self.stage, self.notice]

    @property
    def outputs(self) -> list:
        """All that `show` gives, in its order."""
        return [*self.picture, *self.controls]

    # -- drawing -------------------------------------------------------------------------------------------------

    def draw(self, session: Session) -> list:
        """The picture of the session's recipe, for `self.picture`."""
        recipe = session.open()
        picture = self.engine.submit(session.id, recipe).result()
        info = self.engine.library.get(recipe.model)
        warning = self.engine.check(recipe)
        alt = f"Picture by the model {info.title}, seed {recipe.seed}"
        notice = gr.update(value=note(html.escape(warning)) if warning else "", visible=bool(warning))
        return [stage_html(picture, alt), notice]

    def show(self, session: Session, layers_choice: str = LAYER_CHOICES[0]) -> list:
        """Everything, for `self.outputs`, after the recipe was set as a whole."""
        recipe = session.open()
        drawn = self.draw(session)
        session.commit()
        return [*drawn, self.enter(session)[self.models], *self._control_values(recipe, layers_choice)]

    @property
    def enter_outputs(self) -> list:
        return [self.models]

    def enter(self, session: Session | None, *values) -> Outputs:
        """The models there are now. As the page opens there is no session yet."""
        if session is None:
            return {}
        found = self._models()
        session.listed = [m.id for m in found]
        selected = session.listed.index(session.recipe.model) if session.recipe and session.recipe.model in session.listed else None
        return {self.models: cells_html(model_cells(found), columns=4, selected=selected)}

    def _control_values(self, recipe: Recipe, layers_choice: str) -> list:
        model = self.engine.model(recipe.model)
        layers = chosen_layers(layers_choice, model.num_ws)
        names, labels = self._directions(recipe.model)
        sliders = []
        for i in range(SLIDERS):
            if i < len(names):
                value = edit_strength(recipe, names[i], layers)
                sliders.append(gr.update(value=value, label=labels[i], visible=True))
            else:
                sliders.append(gr.update(visible=False))
        classes = gr.update(visible=False)
        if model.c_dim:
            chosen = recipe.classes[0].index if recipe.classes else 0
            classes = gr.update(choices=[(n, i) for i, n in enumerate(model.classes)], value=chosen, visible=True)
        return [
            classes,
            recipe.seed,
            recipe.psi,
            layers_choice,
            *sliders,
            pad_html(*pad_position(recipe)),
            gr.update(visible=model.has_noise),
            recipe.noise.mode,
            recipe.noise.strength,
            recipe.noise.seed,
            gr.update(visible=model.family.transformable),
            *(getattr(recipe.transform, name) for name in _PLACES),
        ]

    def _directions(self, model: str) -> tuple[list[str], list[str]]:
        names, labels = [], []
        for group in self.engine.direction_sets(model):
            names += group.names
            labels += group.labels
        return names[:SLIDERS], labels[:SLIDERS]

    # -- beginning -----------------------------------------------------------------------------------------------

    def begin(self, session: Session) -> list:
        """What a new visitor sees, for `self.outputs`."""
        if session.recipe is None:
            text = "<b>No model here yet.</b>" if session.workspace.guest else _EMPTY.format(folder=html.escape(str(get_settings().models)))
            return [empty_html(text), *[gr.skip()] * (len(self.outputs) - 1)]
        try:
            return self.show(session)
        except StudioError as e:
            gr.Warning(str(e))
            return [empty_html(html.escape(str(e))), *[gr.skip()] * (len(self.outputs) - 1)]

    def _models(self) -> list[ModelInfo]:
        """Those that can be explored."""
        return [m for m in self.engine.library.scan()[0] if m.task is Task.GENERATE]

    @property
    def model_target(self) -> Target:
        """For other tabs: a model is opened here."""

        def open_model(session: Session, model: ModelInfo) -> Outputs:
            session.recipe = self.first(model.id)
            return self._keyed(self.show(session))

        return Target("explore", "Open in Explore", open_model, self.outputs)

    @property
    def recipe_target(self) -> Target:
        """For other tabs: a recipe is opened here."""

        def open_recipe(session: Session, recipe: Recipe) -> Outputs:
            session.recipe = recipe
            return self._keyed(self.show(session))

        return Target("explore", "Open in Explore", open_recipe, self.outputs)

    @property
    def saved_target(self) -> Target:
        """For other tabs: the recipe of a saved picture is opened here. When it cannot be drawn the one before stays."""

        def reopen(session: Session, recipe: Recipe, _path: Path) -> Outputs:
            self.engine.library.get(recipe.model)
            return self._keyed(self._go(session, LAYER_CHOICES[0], recipe))

        return Target("explore", "Open in Explore", reopen, self.outputs)

    def _keyed(self, values: list) -> Outputs:
        return dict(zip(self.outputs, values, strict=True))

    @staticmethod
    def first(model: str) -> Recipe:
        """What a model is opened with."""
        return Recipe(model=model, seeds=(SeedWeight(0),), psi=0.7)

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s, everything = self.session, self.outputs

        def change(trigger, fn, inputs=()):
            """A control that alters the recipe and draws it."""
            trigger(friendly(fn), [s, *inputs], self.picture, **LIVE)

        def jump(trigger, fn, inputs=()):
            """Something that sets many controls at once. No press is lost when one follows another quickly."""
            trigger(friendly(fn), [s, self.layers, *inputs], everything, **QUIET, trigger_mode="multiple")

        def commit(session: Session):
            session.commit()

        def slide(slider, fn, inputs):
            """Follow the handle live; letting go of it ends the step. A reset that follows quickly is not lost."""
            change(slider.input, fn, inputs)
            slider.release(friendly(_let_go(fn, slider.value)), [s, *inputs], self.picture, **QUIET, trigger_mode="multiple")

        slide(self.psi, self._set_psi, [self.psi])
        slide(self.noise_strength, self._set_noise_strength, [self.noise_strength])
        for i, slider in enumerate(self.sliders):
            slide(slider, self._slider(i), [slider, self.layers])
        for name, slider in zip(_PLACES, self.places, strict=True):
            slide(slider, self._place(name), [slider])
        change(self.noise_mode.input, self._set_noise_mode, [self.noise_mode])
        change(functools.partial(gr.on, [self.noise_seed.submit, self.noise_seed.blur]), self._set_noise_seed, [self.noise_seed])
        change(self.classes.input, self._set_class, [self.classes])
        change(self.pad.input, self._set_pad)
        self.pad.release(commit, s, None, **QUIET)
        jump(self.seed.submit, self._set_seed, [self.seed])
        jump(self.seed.blur, self._set_seed, [self.seed])
        jump(self.dice.click, lambda session, layers: self._to_seed(session, layers, random.randrange(_DICE_SEEDS)))
        jump(self.next.click, lambda session, layers: self._to_seed(session, layers, self._beside(session, 1)))
        jump(self.previous.click, lambda session, layers: self._to_seed(session, layers, self._beside(session, -1)))
        jump(self.undo.click, self._undo)
        jump(self.redo.click, self._redo)
        jump(self.reset.click, self._reset)
        jump(self.models.select, self._choose_model)
        jump(self.drop.upload, self._drop, [self.drop])
        jump(self.sheet.select, self._choose_variation)
        jump(self.strip.select, self._choose_pin)
        self.layers.input(friendly(self._relabel), [s, self.layers], self.sliders, **QUIET)

        self.save.click(friendly(self._save), s, [self.saved, self.download], **QUIET)
        self.link.click(friendly(self._link), s, self.link_text, **QUIET).then(
            None, self.link_text, self.link_text, js="(t) => t ? location.origin + location.pathname + t : t", api_visibility="private"
        )
        for trigger in (self.vary.click, self.spread.release):
            trigger(friendly(self._vary), [s, self.spread], [self.sheet_box, self.sheet], **QUIET)
        self.sheet_again.click(friendly(self._vary_anew), [s, self.spread], [self.sheet_box, self.sheet], **QUIET)
        pins = [self.pin_box, self.strip, self.walk, self.frames, self.clip]
        self.pin.click(friendly(self._pin), s, pins, **QUIET)
        self.unpin.click(friendly(self._unpin), s, pins, **QUIET)
        slide(self.walk, self._walk, [self.walk])
        self.long_work(
            "clip", self.clip, self.clip_stop, self._clip, [s, self.frames], [self.clip_view, self.clip_file], view=self.clip_view
        )

    # -- single controls -----------------------------------------------------------------------------------------

    def _try(self, session: Session, recipe: Recipe, control: str) -> list:
        """Draw a recipe that `control` changed; when it cannot be drawn the old one stays."""
        session.touch(control)
        old, session.recipe = session.recipe, recipe
        try:
            return self.draw(session)
        except StudioError:
            session.recipe = old
            raise

    def _set_psi(self, session: Session, psi) -> list:
        return self._try(session, session.open().replace(psi=psi), "psi")

    def _slider(self, i: int):
        def set_slider(session: Session, value, layers_choice):
            recipe = session.open()
            names, _ = self._directions(recipe.model)
            layers = chosen_layers(layers_choice, self.engine.model(recipe.model).num_ws)
            return self._try(session, with_edit(recipe, names[i], layers, value), f"{names[i]} {layers}")

        return set_slider

    def _place(self, name: str):
        def set_place(session: Session, value):
            recipe = session.open()
            return self._try(session, recipe.replace(transform=dataclasses.replace(recipe.transform, **{name: value})), f"place {name}")

        return set_place

    def _set_pad(self, session: Session, event: gr.EventData) -> list:
        recipe = session.open()
        for axis in "xy":
            value = event_value(event, axis)
            value = value * PAD_REACH if isinstance(value, (int, float)) else value
            recipe = with_edit(recipe, f"pad:{recipe.seed}:{axis}", None, value)
        return self._try(session, recipe, "pad")

    def _set_noise(self, session: Session, **changes) -> list:
        recipe = session.open()
        now = {"mode": recipe.noise.mode, "seed": recipe.noise.seed, "strength": recipe.noise.strength}
        return self._try(session, recipe.replace(noise=Noise(**{**now, **changes})), "noise")

    def _set_noise_strength(self, session: Session, value) -> list:
        return self._set_noise(session, strength=value)

    def _set_noise_mode(self, session: Session, value) -> list:
        drawn = self._set_noise(session, mode=value)
        session.commit()
        return drawn

    def _set_noise_seed(self, session: Session, value) -> list:
        drawn = self._set_noise(session, seed=check_seed(value))
        session.commit()
        return drawn

    def _set_class(self, session: Session, index) -> list:
        drawn = self._try(session, session.open().replace(classes=(ClassWeight(index),)), "class")
        session.commit()
        return drawn

    def _relabel(self, session: Session, layers_choice: str) -> list:
        """The sliders show what they have done to the chosen layers."""
        recipe = session.open()
        names, _ = self._directions(recipe.model)
        layers = chosen_layers(layers_choice, self.engine.model(recipe.model).num_ws)
        values = [edit_strength(recipe, name, layers) for name in names]
        return values + [0] * (SLIDERS - len(values))

    # -- jumps ---------------------------------------------------------------------------------------------------

    def _go(self, session: Session, layers_choice: str, recipe: Recipe) -> list:
        old, session.recipe = session.recipe, recipe
        try:
            return self.show(session, layers_choice)
        except StudioError:
            session.recipe = old
            raise

    def _to_seed(self, session: Session, layers_choice: str, seed: int) -> list:
        """Another seed with the same sliders. A latent, a mix or a place on the pad belonged to the old seed."""
        recipe = session.open()
        edits = tuple(e for e in recipe.edits if not e.direction.startswith("pad:"))
        return self._go(session, layers_choice, recipe.replace(seeds=(SeedWeight(seed),), latent=None, mixes=(), edits=edits))

    def _set_seed(self, session: Session, layers_choice: str, seed) -> list:
        if check_seed(seed) == session.open().seed:
            return gr.skip()  # leaving the field without a change must not lose a walk or a mix
        return self._to_seed(session, layers_choice, seed)

    @staticmethod
    def _beside(session: Session, step: int) -> int:
        return (session.open().seed + step) % (MAX_SEED + 1)

    def _undo(self, session: Session, layers_choice: str) -> list:
        session.undo()
        return self.show(session, layers_choice)

    def _redo(self, session: Session, layers_choice: str) -> list:
        session.redo()
        return self.show(session, layers_choice)

    def _reset(self, session: Session, layers_choice: str) -> list:
        return self._go(session, layers_choice, session.open().replace(edits=(), transform=Transform()))

    def _choose_model(self, session: Session, layers_choice: str, event: gr.EventData) -> list:
        recipe = self.first(self.engine.library.get(pressed(event, session.listed, "That model is no longer here.")).id)
        if session.recipe is not None:
            recipe = recipe.replace(seeds=(SeedWeight(session.recipe.seed),), psi=session.recipe.psi)
        return self._go(session, layers_choice, recipe)

    def _drop(self, session: Session, layers_choice: str, file) -> list:
        recipe = read_recipe(Path(file), Recipe)
        self.engine.library.get(recipe.model)
        return self._go(session, layers_choice, recipe)

    def _choose_variation(self, session: Session, layers_choice: str, event: gr.EventData) -> list:
        return self._go(session, layers_choice, _pick(session.sheet, event))

    def _choose_pin(self, session: Session, layers_choice: str, event: gr.EventData) -> list:
        return self._go(session, layers_choice, _pick(session.pins, event))

    # -- keeping -------------------------------------------------------------------------------------------------

    def _save(self, session: Session) -> list:
        recipe = self.engine.stamped(session.open())
        picture = self.engine.render(recipe)
        moment = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
        path = session.workspace.output("explore", f"{moment}-{file_stem(f'{recipe.model}-seed{recipe.seed}')}.png")
        save_picture(picture, recipe, path)
        text = session.workspace.saved_note(
            path, ", recipe inside: drop it back in to return here" if provenance_policy().includes_recipe else ", marked as made by AI"
        )
        return [gr.update(value=note(text), visible=True), gr.update(value=str(path), visible=True)]

    def _link(self, session: Session) -> dict:
        return gr.update(value=f"?recipe={self.engine.stamped(session.open()).to_link()}", visible=True)

    def forget(self, session: Session) -> None:
        """The visitor has left."""
        super().forget(session)
        self.engine.cancel(session.id)

    def add_targets(self, targets: list[Target]) -> None:
        """Tabs that the picture can go to. Called once all tabs are built."""
        with self.send:
            self.target_buttons(targets, Session.open)

    def _vary(self, session: Session, spread: float) -> list:
        session.sheet = variations(session.open(), 9, spread, session.sheet_seed)
        pictures = self.engine.render_many(session.sheet, preview=True)
        small = len(pictures[0]) <= 128
        cells = [{"src": data_url(p), "small": small, "alt": f"variation {i + 1}"} for i, p in enumerate(pictures)]
        return [gr.update(visible=True), cells_html(cells, columns=3, selected=4)]

    def _vary_anew(self, session: Session, spread: float) -> list:
        session.sheet_seed += 1
        return self._vary(session, spread)

    def _pin(self, session: Session) -> list:
        session.pins.append(session.open())
        return self._strip(session)

    def _unpin(self, session: Session) -> list:
        if session.pins:
            session.pins.pop()
        return self._strip(session)

    def _strip(self, session: Session) -> list:
        pictures = self.engine.render_many(session.pins, preview=True) if session.pins else []
        cells = [{"src": data_url(p), "small": len(p) <= 128, "label": f"{i + 1}"} for i, p in enumerate(pictures)]
        can_walk = len(session.pins) > 1
        visible = gr.update(visible=can_walk)
        return [gr.update(visible=bool(cells)), cells_html(cells), gr.update(value=0, visible=can_walk), visible, visible]

    def _walk(self, session: Session, position: float) -> list:
        return self._try(session, walk_at(self.engine, session.pins, float(position)), "walk")

    def _clip(self, session: Session, frames: float, progress: gr.Progress = gr.Progress()) -> Outputs:
        recipes = walk_recipes(self.engine, session.pins, int(frames), closed=True)
        pictures = self.engine.render_many(
            recipes,
            progress=lambda done, all_: progress((done, all_), desc="Rendering the walk", unit="frames"),
            cancel=self.stopping(session, "clip"),
        )
        moment = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
        path = save_clip(pictures, session.workspace.output("explore", f"{moment}-walk.webp"))
        view = f'<div class="gs-stage"><img alt="The walk between the pins" class="small" src="{file_url(path)}"></div>'
        return {self.clip_view: gr.update(value=view, visible=True), self.clip_file: gr.update(value=str(path), visible=True)}


def _let_go(fn, reset_to: float):
    """A handler for the release of a slider, which is also all that its little reset button sends.

    Only the reset draws: a release that arrives late, after an undo, must not bring back what was undone.
    """

    def let_go(session: Session, value, *rest):
        drawn = fn(session, value, *rest) if value == reset_to else gr.skip()
        session.commit()
        return drawn

    return let_go


def _pick(recipes: list[Recipe], event: gr.EventData) -> Recipe:
    return pressed(event, recipes, "That picture is no longer here.", "Make the sheet again.")


def recipe_from_api(recipe) -> Recipe:
    """A recipe as the API takes it: a dict, or JSON text."""
    return Recipe.from_json(recipe) if isinstance(recipe, str) else Recipe.from_json(json.dumps(recipe))

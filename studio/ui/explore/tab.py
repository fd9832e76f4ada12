"""Explore: one picture, and every way to move from it to the next."""

import html
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from studio.engine.parameters import LAYER_CHOICES, TABLE, reset
from studio.engine.recipe import Recipe, SeedWeight
from studio.errors import StudioError
from studio.latents.seeds import MAX_SEED, check_seed
from studio.models.folder import ModelInfo
from studio.networks import Task
from studio.settings import get_settings
from studio.ui.components.handlers import LIVE, QUIET, Outputs, friendly
from studio.ui.components.model_cells import model_cells
from studio.ui.components.notes import empty_html
from studio.ui.components.press_grid import cells_html, press_grid, pressed
from studio.ui.components.tab import Page, Tab
from studio.ui.components.targets import Target
from studio.ui.explore.area_panel import AreaPanel
from studio.ui.explore.bend_panel import BendPanel
from studio.ui.explore.controls import Controls
from studio.ui.explore.film_panel import FilmPanel
from studio.ui.explore.live_moves import ExploreStage
from studio.ui.explore.picture_panel import PicturePanel
from studio.ui.explore.pins import Pins
from studio.ui.explore.play_panel import PlayPanel
from studio.ui.explore.saving import Saving
from studio.ui.explore.state import ExploreState
from studio.ui.explore.variations import Variations
from studio.ui.explore.view import KEYS, LOADING, drawn_html, no_model_html, warning_html
from studio.ui.session import Session, first_recipe

_DICE_SEEDS = 1_000_000  # the dice picks seeds that are easy to read and to write down


class ExploreTab(Tab[ExploreState]):
    """The large picture and its history; its parts are Controls, the panels, ExploreStage, Variations, Pins and Saving.

    `show` draws the session's recipe and sets every control; `outputs` are the components it changes.
    """

    id, state_type = "explore", ExploreState

    def __init__(self, page: Page):
        self.controls, self.variations, self.pins, self.saving = Controls(self), Variations(self), Pins(self), Saving(self)
        self.live, self.play, self.film = ExploreStage(self), PlayPanel(self), FilmPanel(self)
        self.panels = (PicturePanel(self), AreaPanel(self), BendPanel(self), self.play)
        super().__init__(page)

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        with gr.Row(equal_height=False, elem_id="explore-page"):
            with gr.Column(scale=6, min_width=320, elem_id="explore-left"):
                self._build_picture()
                self.variations.build()
                self.pins.build()
                with gr.Row(equal_height=False, elem_id="explore-near"):
                    with gr.Column(min_width=200):
                        self.controls.build_pad()
                    with gr.Column(min_width=200):
                        self.saving.build_drop()
            with gr.Column(scale=4, min_width=320, elem_id="explore-right"):
                self.models = press_grid(elem_id="models")
                self.controls.build()
                for panel in (*self.panels, self.film):
                    panel.build()

    def _build_picture(self) -> None:
        self.stage = gr.HTML(empty_html(LOADING), elem_id="explore-stage", padding=False)
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
        gr.HTML(KEYS, padding=False)
        self.saving.build()

    @property
    def picture(self) -> list[Any]:
        """Components that change with every picture."""
        return [self.stage, self.notice]

    @property
    def outputs(self) -> list[Any]:
        """Components that `show` changes."""
        return [*self.picture, self.models, *self.controls.outputs, *(part for panel in self.panels for part in panel.outputs)]

    # -- wiring --------------------------------------------------------------------------------------------------

    def change(self, trigger: Callable[..., Dependency], fn: Callable[..., Outputs], inputs: Sequence[Any] = ()) -> None:
        """Wire a control that alters the recipe and draws it.  fn: (session, *values)."""
        trigger(friendly(fn), [self.session, *inputs], self.picture, **LIVE)

    def jump(self, trigger: Callable[..., Dependency], fn: Callable[..., Outputs], inputs: Sequence[Any] = ()) -> None:
        """Wire something that sets many controls at once. No press is lost when one follows another quickly.

        fn: (session, chosen layers, *values).
        """
        values = [self.session, self.controls.layers, *inputs]
        trigger(friendly(fn), values, self.outputs, **QUIET, trigger_mode="multiple")

    def _wire(self) -> None:
        seed = self.controls.seed
        self.controls.wire()
        for panel in (*self.panels, self.film):
            panel.wire()
        self.variations.wire(self.vary)
        self.pins.wire(self.pin)
        self.jump(seed.submit, self._set_seed, [seed])
        self.jump(seed.blur, self._set_seed, [seed])
        self.jump(self.dice.click, lambda session, layers: self._to_seed(session, layers, random.randrange(_DICE_SEEDS)))
        self.jump(self.next.click, lambda session, layers: self._step(session, layers, 1))
        self.jump(self.previous.click, lambda session, layers: self._step(session, layers, -1))
        self.jump(self.undo.click, self._undo)
        self.jump(self.redo.click, self._redo)
        self.jump(self.controls.reset.click, lambda session, layers: self.go(session, layers, reset(session.open())))
        self.jump(self.models.select, self._choose_model)
        self.saving.wire(self.save, self.link)

    # -- drawing -------------------------------------------------------------------------------------------------

    def draw(self, session: Session) -> Outputs:
        """The picture of the session's recipe, for `picture`."""
        recipe = session.open()
        drawn = self.engine.draw(session.id, recipe)
        self.film.drew(session, recipe)
        notice = gr.update(value=warning_html(drawn.warning), visible=bool(drawn.warning))
        return {self.stage: drawn_html(drawn, recipe, session.drew(self.live.element, recipe)), self.notice: notice}

    def show(self, session: Session, layers_choice: str = LAYER_CHOICES[0]) -> Outputs:
        """The picture and all controls, after the recipe was replaced.  layers_choice: whose edits the sliders show."""
        drawn = self.draw(session)
        session.commit()
        shown = {**drawn, **self.enter(session), **self.controls.values(session.open(), layers_choice)}
        for panel in self.panels:
            shown.update(panel.values(session))
        return shown

    def try_recipe(self, session: Session, recipe: Recipe, control: str) -> Outputs:
        """Draw a recipe that `control` changed, for `picture`; when it cannot be drawn the old one stays."""
        session.touch(control)
        return self._kept_on_error(session, recipe, lambda: self.draw(session))

    def go(self, session: Session, layers_choice: str, recipe: Recipe) -> Outputs:
        """Open another recipe, for `outputs`; when it cannot be drawn the old one stays."""
        return self._kept_on_error(session, recipe, lambda: self.show(session, layers_choice))

    @staticmethod
    def _kept_on_error(session: Session, recipe: Recipe, draw: Callable[[], Outputs]) -> Outputs:
        old, session.recipe = session.recipe, recipe
        try:
            return draw()
        except StudioError:
            session.recipe = old
            raise

    # -- opening -------------------------------------------------------------------------------------------------

    def begin(self, session: Session) -> Outputs:
        """What a new visitor sees, for `outputs`."""
        if session.recipe is None:
            return {self.stage: no_model_html(None if session.workspace.guest else get_settings().models)}
        try:
            return self.show(session)
        except StudioError as e:
            gr.Warning(str(e))
            return {self.stage: empty_html(html.escape(str(e)))}

    @property
    def enter_outputs(self) -> list[Any]:
        return [self.models]

    def enter(self, session: Session | None, *values: Any) -> Outputs:
        """The models there are now. As the page opens there is no session yet."""
        if session is None:
            return {}
        found = [m for m in self.engine.library.scan()[0] if m.task is Task.GENERATE]
        listed = self.state_of(session).listed = [m.id for m in found]
        open_model = session.recipe.model if session.recipe else None
        selected = listed.index(open_model) if open_model in listed else None
        return {self.models: cells_html(model_cells(found), columns=4, selected=selected)}

    # -- jumps ---------------------------------------------------------------------------------------------------

    def _to_seed(self, session: Session, layers_choice: str, seed: int) -> Outputs:
        """Another seed with the same sliders."""
        return self.go(session, layers_choice, TABLE["seed"].set(session.open(), seed))

    def _set_seed(self, session: Session, layers_choice: str, seed: Any) -> Outputs:
        if check_seed(seed) == session.open().seed:
            return {}  # leaving the field without a change must not lose a walk or a mix
        return self._to_seed(session, layers_choice, seed)

    def _step(self, session: Session, layers_choice: str, step: int) -> Outputs:
        return self._to_seed(session, layers_choice, (session.open().seed + step) % (MAX_SEED + 1))

    def _undo(self, session: Session, layers_choice: str) -> Outputs:
        session.undo()
        return self.show(session, layers_choice)

    def _redo(self, session: Session, layers_choice: str) -> Outputs:
        session.redo()
        return self.show(session, layers_choice)

    def _choose_model(self, session: Session, layers_choice: str, event: gr.EventData) -> Outputs:
        id = pressed(event, self.state_of(session).listed, "That model is no longer here.")
        recipe = first_recipe(self.engine.library.get(id).id)
        if session.recipe is not None:
            recipe = recipe.replace(seeds=(SeedWeight(session.recipe.seed),), psi=session.recipe.psi)
        return self.go(session, layers_choice, recipe)

    # -- other tabs ----------------------------------------------------------------------------------------------

    def _target(self, open_here: Callable[..., Outputs]) -> Target:
        return Target("explore", "Open in Explore", open_here, self.outputs)

    @property
    def model_target(self) -> Target:
        """For other tabs: seed 0 of a model is opened here."""

        def open_model(session: Session, model: ModelInfo) -> Outputs:
            session.recipe = first_recipe(model.id)
            return self.show(session)

        return self._target(open_model)

    @property
    def recipe_target(self) -> Target:
        """For other tabs: a recipe is opened here."""

        def open_recipe(session: Session, recipe: Recipe) -> Outputs:
            session.recipe = recipe
            return self.show(session)

        return self._target(open_recipe)

    @property
    def saved_target(self) -> Target:
        """For other tabs: the recipe of a saved picture is opened here. When it cannot be drawn the one before stays."""

        def reopen(session: Session, recipe: Recipe, _path: Path) -> Outputs:
            self.engine.library.get(recipe.model)
            return self.go(session, LAYER_CHOICES[0], recipe)

        return self._target(reopen)

    def add_targets(self, targets: list[Target]) -> None:
        with self.send:
            self.target_buttons(targets, Session.open)

    def forget(self, session: Session) -> None:
        super().forget(session)
        self.engine.cancel(session.id)

"""Classes: the kinds of pictures a model draws, alone, blended and side by side; walks between them, and sets to export."""

from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

import gradio as gr
from gradio.events import Dependency

from studio.engine.recipe import Recipe
from studio.models.folder import ModelInfo, num_classes
from studio.ui.classes.chips import Chips
from studio.ui.classes.class_pictures import Pictures
from studio.ui.classes.set_export import SetExport
from studio.ui.classes.state import MAX_CHOSEN, ClassesState, ClassSettings
from studio.ui.classes.view import HELP, NOTHING, other_model_html
from studio.ui.classes.walk import ClassWalk
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.tab import Page, Tab
from studio.ui.components.targets import Target
from studio.ui.session import Session


class ClassesTab(Tab[ClassesState]):
    """The model and which of its classes are chosen; the rest is in Chips, Pictures, ClassWalk and SetExport."""

    id, state_type = "classes", ClassesState

    def __init__(self, page: Page):
        self.page = page  # read by the parts below
        self.chips, self.pictures, self.walk, self.export = Chips(self), Pictures(self), ClassWalk(self), SetExport(self)
        super().__init__(page)

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.nothing = gr.HTML(empty_html(NOTHING), visible=False, padding=False, elem_id="classes-nothing")
        with gr.Column() as self.body:
            gr.HTML(note(HELP), padding=False)
            self.other_model = gr.HTML("", visible=False, padding=False, elem_id="classes-whose")
            self.chips.build()
            with gr.Row(equal_height=False):
                with gr.Column(scale=6, min_width=320, elem_id="classes-result"):
                    self.stage = self.pictures.build_stage()
                with gr.Column(scale=4, min_width=300):
                    self.model = gr.Dropdown([], label="Model", visible=False, elem_id="classes-model")
                    self.pictures.build_settings()
            self.pictures.build_grid()
            with gr.Row(equal_height=False, elem_id="classes-more"):
                with gr.Column(min_width=300):
                    self.walk.build()
                with gr.Column(min_width=300):
                    self.export.build()

    def _wire(self) -> None:
        pictures, model_outputs = self.pictures, [self.chips.find, *self.chosen_outputs]
        for part in (self.chips, pictures, self.walk, self.export):
            part.wire()
        chosen = self.model.input(friendly(self._choose_model), [self.session, self.model, *pictures.controls], model_outputs, **QUIET)
        self.chips.draw_after(chosen)

    # -- the model and its chosen classes ------------------------------------------------------------------------

    def classes_of(self, state: ClassesState) -> Sequence[str]:
        """Names of the classes of the visitor's model."""
        return self.engine.facts(state.model).classes

    @property
    def chosen_outputs(self) -> list[Any]:
        """Components that `show_chosen` changes."""
        return [self.chips.grid, *self.pictures.weights, *self.pictures.outputs]

    def show_chosen(self, session: Session, settings: ClassSettings, weights: list[float]) -> Outputs:
        """Chips, weights and pictures after other classes were chosen.  weights: one for each of them."""
        state = self.state_of(session)
        sliders = self.pictures.weight_sliders(state, settings.mode, weights)
        settings = ClassSettings(settings.mode, settings.seed, settings.psi, settings.count, tuple(weights))
        try:
            pictures = self.pictures.draw(session, settings)
        except CancelledError:  # a newer drawing shows the pictures; the chips are marked anyway
            pictures = {}
        return {**self.chips.shown(state), **sliders, **pictures}

    def _show_model(self, session: Session, settings: ClassSettings) -> Outputs:
        """Everything that belongs to the model; chosen classes that it lacks are dropped, and its first is chosen when none is left."""
        state = self.state_of(session)
        classes = self.classes_of(state)
        kept = {k: w for k, w in zip(state.chosen, settings.weights, strict=False) if k < len(classes)} or {0: 1.0}
        state.chosen, state.listed, state.selected = list(kept), [], 0
        return {**self.chips.for_model(len(classes)), **self.show_chosen(session, settings, list(kept.values()))}

    def _choose_model(self, session: Session, model: str, *values: Any) -> Outputs:
        state = self.state_of(session)
        if model != state.model:
            state.model, state.chosen = self.engine.library.get(model).id, []
        return self._show_model(session, ClassSettings.of(values))

    # -- opening -------------------------------------------------------------------------------------------------

    @property
    def enter_inputs(self) -> list[Any]:
        return [self.export.amount, self.export.set, *self.pictures.controls]

    @property
    def enter_outputs(self) -> list[Any]:
        page = [self.nothing, self.body, self.other_model, self.model, self.pictures.seed, self.pictures.psi]
        return [*page, self.export.set, self.chips.find, *self.chosen_outputs]

    def enter(self, session: Session, amount: str, set_id: str | None, *values: Any) -> Outputs:
        """The model of Explore if it has classes and has changed, otherwise the last one used here."""
        state, settings, models = self.state_of(session), ClassSettings.of(values), self.engine.library.scan()[0]
        found = [m for m in models if num_classes(m)]
        if not found:
            return {self.nothing: gr.update(visible=True), self.body: gr.update(visible=False)}
        settings = self._follow(state, session.recipe, [m.id for m in found], settings)
        other = self._other_model(state, session.recipe, models, found)
        choices = [(m.title, m.id) for m in found]
        return {
            self.nothing: gr.update(visible=False),
            self.body: gr.update(visible=True),
            self.other_model: gr.update(value=other, visible=bool(other)),
            self.model: gr.update(choices=choices, value=state.model, visible=len(found) > 1),
            self.pictures.seed: settings.seed,
            self.pictures.psi: settings.psi,
            **self.export.sets(amount, set_id),
            **self._show_model(session, settings),
        }

    @staticmethod
    def _follow(state: ClassesState, recipe: Recipe | None, ids: list[str], settings: ClassSettings) -> ClassSettings:
        """Choose the model and, when Explore has changed to it, also its seed, truncation and classes.  recipe: Explore's."""
        if recipe is not None and recipe.model in ids and recipe.model != state.followed:
            state.model, state.chosen, weights = recipe.model, [], settings.weights
            if len(recipe.classes) <= MAX_CHOSEN:
                state.chosen, weights = [c.index for c in recipe.classes], tuple(min(c.weight, 1.0) for c in recipe.classes)
            settings = ClassSettings(settings.mode, recipe.seed, recipe.psi, settings.count, weights)
        elif state.model not in ids:
            state.model, state.chosen = ids[0], []
        state.followed = recipe.model if recipe is not None else ""
        return settings

    @staticmethod
    def _other_model(state: ClassesState, recipe: Recipe | None, models: list[ModelInfo], found: list[ModelInfo]) -> str:
        """HTML: why this is not the model in Explore; empty when it is."""
        titles = {m.id: m.title for m in models}
        if recipe is None or recipe.model not in titles or recipe.model in [m.id for m in found]:
            return ""
        return other_model_html(titles[recipe.model], titles[state.model])

    def after_enter(self, entered: Dependency) -> Dependency:
        return self.chips.draw_after(entered)

    # -- other tabs ----------------------------------------------------------------------------------------------

    def add_targets(self, targets: list[Target]) -> None:
        with self.pictures.tools:
            self.target_buttons(targets, self.pictures.selected)

    def forget(self, session: Session) -> None:
        super().forget(session)
        self.engine.cancel(self.pictures.large.session_of(session))

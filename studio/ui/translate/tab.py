"""Translate: your own pictures, animations and videos through a model that turns one sort of picture into another."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency
from PIL import Image

from studio.engine.image_recipe import MAX_REPEATS, ImageRecipe
from studio.outputs.batches import Made, SourcePicture, open_source, reduced
from studio.outputs.convert_files import Conversion
from studio.provenance.metadata import encode_signed
from studio.provenance.source_pictures import keep_source
from studio.ui.components.batch_panel import BatchJob
from studio.ui.components.handlers import LIVE, QUIET, WORK, Outputs, friendly
from studio.ui.components.image_tab import ImageTab, percent
from studio.ui.components.notes import note
from studio.ui.components.press_grid import pressed
from studio.ui.components.tiles import known_tile, tile_dropdown
from studio.ui.components.video_panel import FramePreview, VideoJob
from studio.ui.session import Session
from studio.ui.translate.examples import ExampleStrip
from studio.ui.translate.recipes import DIRECTION_TITLES, direction_words, recipe_of
from studio.ui.translate.result import TranslateResult
from studio.ui.translate.state import TranslateState
from studio.ui.translate.view import cycle_html

_PREVIEW = 768  # px: enough to see what the way back loses, and what a video will look like


class TranslateTab(ImageTab[TranslateState]):
    """The tab, built inside the current Blocks. `add_targets` adds where results can be sent to."""

    id, state_type = "translate", TranslateState
    verb, done = "Translate", "translated"
    no_model = (
        "<b>No model here turns one sort of picture into another.</b><br>Train one in the Train tab from two unpaired sets of pictures, "
        "import a CycleGAN, CUT or pix2pix checkpoint with <code>studio import FILE</code>, or install one that makes photographs vintage "
        "with <code>pip install --no-deps vintagify</code>; it then appears here."
    )
    batch_words = "Each is translated at its own size, with the settings on this page."
    video_words = "Every frame is translated; size, timing and sound stay the same. The first frame shows what it will look like."
    smoothing = "light"
    budget_bytes = 1 << 30

    result: TranslateResult

    def _build_result(self) -> TranslateResult:
        return TranslateResult(self.engine, self._budget)

    def _build_settings(self) -> None:
        self.model = gr.Dropdown([], label="Model", elem_id="translate-model")
        self.direction = gr.Radio([], label="Which way (direction)", elem_id="translate-direction")
        self.examples = ExampleStrip(self.engine)
        self.strength = gr.Slider(
            0,
            100,
            100,
            step=1,
            label="How much of the effect (strength, %)",
            elem_id="translate-strength",
            info="100 is the model's picture, 0 your own; in between, both are blended.",
        )
        self.keep = gr.Checkbox(
            False,
            label="Keep my colours (luminance only)",
            elem_id="translate-keep",
            info="Light and dark come from the model, the colours from your picture.",
        )
        self.repeat = gr.Slider(
            1,
            MAX_REPEATS,
            1,
            step=1,
            label="Number of passes (repeat)",
            elem_id="translate-repeat",
            info="The result goes through the model again: more of the same, and stranger.",
        )
        with gr.Accordion("Advanced", open=False):
            self.tile = tile_dropdown("translate-tile", "The result is the same.")

    @property
    def settings(self) -> list[Any]:
        """Inputs that say what is done to a picture."""
        return [self.model, self.direction, self.strength, self.keep, self.repeat, self.tile]

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        super()._wire()
        s, inputs, examples = self.session, [self.session, *self.settings], self.examples
        self._run_after(examples.strip.select(friendly(self._open_example), [s, self.model, self.direction], self._opened, **QUIET))
        choosing = self.model.input(friendly(self._choose_model), [s, self.model, self.direction], self.direction, **QUIET)
        for event in (choosing, self.direction.input(_nothing, None, None, **QUIET)):
            self._run_after(event)
            event.success(friendly(examples.show), [self.model, self.direction], examples.outputs, **QUIET)
        for trigger in (self.repeat.release, self.tile.input, self.result.again.click):
            self._run_after(trigger(_nothing, None, None, **QUIET))
        changes = [self.strength.change, self.keep.change]
        gr.on(changes, friendly(self._blend_live), inputs, self.result.live_outputs, **LIVE)
        view = self.result.back_view
        self.result.back.click(friendly(self._translate_back), inputs, view, show_progress_on=view, **WORK)

    @property
    def _preview_triggers(self) -> list[Callable[..., Any]]:
        return [self.model.input, self.direction.input, self.strength.release, self.keep.input, self.repeat.release]

    def _blend_live(self, session: Session, *settings: Any) -> Outputs:
        return self.result.blend_live(session, self.state_of(session), *settings)

    # -- when the tab is opened ----------------------------------------------------------------------------------

    @property
    def enter_inputs(self) -> list[Any]:
        """Components whose values `enter` is given after the session."""
        return [self.direction]

    @property
    def _model_outputs(self) -> list[Any]:
        return [self.direction]

    def after_enter(self, entered: Dependency) -> Dependency:
        """An example as a first result, if the model has any, then all of them."""
        inputs, opened = [self.model, self.direction], self._opened
        shown = self._run_after(entered.success(friendly(self._open_first), [self.session, *inputs], opened, **QUIET))
        entered.success(friendly(self.examples.show), inputs, self.examples.outputs, **QUIET)
        return shown

    def _choose_model(self, session: Session, model: str, direction: str | None) -> Outputs:
        """The directions that the model knows."""
        state, info = self.state_of(session), self.engine.library.get(model)
        state.model = info.id
        known = self.engine.model(info.id).directions
        choices = [(direction_words(info, d), d) for d in known]
        value = direction if direction in known else known[0]
        return {self.direction: gr.update(choices=choices, value=value, interactive=len(known) > 1)}

    def _open_example(self, session: Session, model: str, direction: str, event: gr.EventData) -> Outputs:
        files = self.engine.library.get(model).examples(direction[0])
        return self._open(session, str(pressed(event, files, "That example is no longer here.", "Press another.")))

    def _open_first(self, session: Session, model: str | None, direction: str | None) -> Outputs:
        """The first screen shows a result already."""
        files = self.engine.library.get(model).examples(direction[0]) if model and direction else []
        return {} if self.state_of(session).path is not None or not files else self._open(session, str(files[0]))

    def _restore_settings(self, session: Session, recipe: ImageRecipe) -> Outputs:
        self.state_of(session).done = False
        return {
            **self.enter(session, recipe.direction),
            self.strength: percent(recipe.strength),
            self.keep: recipe.keep_colour,
            self.repeat: recipe.repeat,
            self.tile: known_tile(recipe.tile),
        }

    # -- what is done to pictures --------------------------------------------------------------------------------

    def _words(self, model: str, direction: str) -> str:
        return direction_words(self.engine.library.get(model), direction)

    def _translate_back(self, session: Session, model: str, direction: str, *_: Any, progress: gr.Progress = gr.Progress()) -> Outputs:
        """The open picture there and back again, with what was lost."""
        source = reduced(self.state_of(session).opened().picture, _PREVIEW)
        other = next(d for d in DIRECTION_TITLES if d != direction)
        progress(0.0, desc="There")
        there = self.engine.translate(ImageRecipe(model, direction=direction), source)
        progress(0.5, desc="And back")
        back = self.engine.translate(ImageRecipe(model, direction=other), there)
        pictures = [(source, "Your picture"), (there, self._words(model, direction)), (back, self._words(model, other))]
        return {self.result.back_view: gr.update(value=cycle_html(pictures), visible=True)}

    def _batch_job(self, session: Session, *settings: Any) -> BatchJob:
        recipe = self.engine.stamped(recipe_of(*settings))

        def convert(source: SourcePicture, conversion: Conversion, progress: Callable, cancel: Callable) -> Made:
            picture, type_ = self.engine.translate(recipe, source.picture, progress, cancel), conversion.ending[1:]
            made_by = recipe.replace(source=keep_source(source.path, session.workspace.sources))
            return Made(picture, encode_signed(picture, made_by, type_, conversion.quality, source.path), conversion.ending)

        about = f"Model: {self.engine.library.get(recipe.model).title}, {self._words(recipe.model, recipe.direction)}."
        return BatchJob(recipe, about, open_source, convert, lambda path: VideoJob(recipe, self.engine.translate))

    def _video_job(self, video: str | Path, *settings: Any) -> VideoJob:
        return VideoJob(self.engine.stamped(recipe_of(*settings)), self.engine.translate)

    def _preview_frame(self, frame: Image.Image, *settings: Any) -> FramePreview:
        recipe, before, began = recipe_of(*settings), reduced(frame, _PREVIEW), time.perf_counter()
        after = self.engine.translate(recipe, before)
        seconds = (time.perf_counter() - began) * (frame.width * frame.height) / (before.width * before.height)
        size = note(f"<b>{frame.width:,} x {frame.height:,} px</b>")
        return FramePreview(before, after, "The first frame, translated", size, seconds)


def _nothing() -> None:
    """A handler for events that only begin a conversion."""

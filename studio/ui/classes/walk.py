"""Walk of Classes: a clip through the chosen classes."""

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.engine.recipe import ClassWeight
from studio.outputs.clips import save_clip
from studio.outputs.sheets import walk_recipes
from studio.ui.classes.recipes import class_recipe, side_by_side
from studio.ui.classes.view import WALK
from studio.ui.components.handlers import Outputs
from studio.ui.components.notes import note
from studio.ui.components.output_names import time_stamp
from studio.ui.components.picture_html import file_url
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.classes.tab import ClassesTab


class ClassWalk:
    """From class to class with one seed, and back to the first; as MP4 and WebP."""

    def __init__(self, tab: "ClassesTab"):
        self.tab = tab

    def build(self) -> None:
        """Its settings, its buttons and the clip."""
        gr.HTML(note(WALK), padding=False)
        self.frames = gr.Slider(12, 240, 48, step=12, label="Frames", elem_id="classes-frames")
        with gr.Row(elem_classes="gs-tools"):
            self.start = gr.Button("Walk", variant="primary", elem_id="classes-walk")
            self.stop = gr.Button("Stop", visible=False, elem_id="classes-walk-stop")
        self.view = gr.HTML("", visible=False, padding=False, elem_id="classes-walk-view")
        with gr.Row(elem_classes="gs-tools"):
            self.mp4 = gr.DownloadButton("Download MP4", visible=False, elem_id="classes-mp4")
            self.webp = gr.DownloadButton("Download WebP", visible=False, elem_id="classes-webp")

    def wire(self) -> None:
        """The work with its Stop."""
        tab = self.tab
        inputs = [tab.session, self.frames, tab.pictures.seed, tab.pictures.psi]
        tab.long_work("walk", self.start, self.stop, self._make, inputs, [self.view, self.mp4, self.webp], view=self.view)

    def _make(self, session: Session, frames: float, seed: Any, psi: Any, progress: gr.Progress = gr.Progress()) -> Outputs:
        tab, state = self.tab, self.tab.state_of(session)
        classes = side_by_side(state.chosen, len(tab.classes_of(state)))
        keys = [class_recipe(state.model, seed, psi, [ClassWeight(k)]) for k in classes]

        def report(done: int, total: int) -> None:
            progress((done, total), desc="Rendering the walk", unit="frames")

        recipes = walk_recipes(tab.engine, keys, int(frames), closed=True)
        pictures = tab.engine.render_many(recipes, progress=report, cancel=tab.stopping(session, "walk"))
        progress(1.0, desc="Writing MP4 and WebP")
        path = session.workspace.output("classes", f"{time_stamp()}-{state.model}-walk")
        mp4, webp = (save_clip(pictures, path.with_name(path.name + ending)) for ending in (".mp4", ".webp"))
        clip = f'<div class="gs-stage"><img alt="The walk through the classes" class="small" src="{file_url(webp)}"></div>'
        files = {part: gr.update(value=str(file), visible=True) for part, file in ((self.mp4, mp4), (self.webp, webp))}
        return {self.view: gr.update(value=clip, visible=True), **files}

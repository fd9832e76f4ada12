"""Panel below a picture that moves (GIF, animated WebP, PNG or AVIF): every frame through a model, into an animation again."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from studio.common.text import safe_filename
from studio.errors import StudioError
from studio.outputs.animations import animation_info, convert_animation
from studio.outputs.convert_files import animation_remark
from studio.provenance.policy import file_stem
from studio.provenance.source_pictures import keep_source
from studio.ui.components.handlers import Outputs
from studio.ui.components.image_state import ImageState
from studio.ui.components.notes import note
from studio.ui.components.output_names import metadata_words, new_output
from studio.ui.components.tab import Tab
from studio.ui.components.video_panel import VideoJob
from studio.ui.components.work_progress import WorkProgress
from studio.ui.session import Session

_AS_IT_CAME = ""
_TYPES = [
    ("As it came", _AS_IT_CAME),
    ("WebP: all colours", "webp"),
    ("GIF: 256 colours a frame", "gif"),
    ("PNG: all colours, large", "png"),
]


class AnimationPanel:
    """Panel of an image tab, built inside the current Blocks and visible while the open picture moves.

    tab_id: begins the element ids.  verb: on the button.
    """

    def __init__(self, tab_id: str, verb: str):
        self.tab_id, self.verb = tab_id, verb
        with gr.Column(visible=False, elem_id=f"{tab_id}-moving") as self.column:
            self.words = gr.HTML("", padding=False, elem_id=f"{tab_id}-moving-words")
            self.file_type = gr.Radio(_TYPES, value=_AS_IT_CAME, label="File type of the animation", elem_id=f"{tab_id}-moving-type")
            with gr.Row(elem_classes="gs-tools"):
                self.start = gr.Button(f"{verb} every frame", elem_id=f"{tab_id}-start-moving")
                self.stop = gr.Button("Stop", visible=False, elem_id=f"{tab_id}-stop-moving")
            self.note = gr.HTML("", visible=False, padding=False, elem_id=f"{tab_id}-moving-note")
            self.view = gr.Image(
                show_label=False, visible=False, interactive=False, type="filepath", buttons=[], elem_id=f"{tab_id}-moving-view"
            )
            self.file = gr.DownloadButton("Download the animation", visible=False, elem_id=f"{tab_id}-moving-file")

    @property
    def outputs(self) -> list[Any]:
        """Components that `show` changes."""
        return [self.column, self.words, self.note, self.view, self.file]

    def show(self, path: Path | None) -> Outputs:
        """The panel for the open picture; hidden where there is none, or it does not move."""
        info = animation_info(path) if path is not None else None
        hidden = {part: gr.update(visible=False) for part in (self.note, self.view, self.file)}
        if info is None:
            return {**hidden, self.column: gr.update(visible=False)}
        words = (
            f"<b>It moves: {info.count:,} frames.</b> Above is its first, and <b>Save picture</b> saves that one. "
            f"<b>{self.verb} every frame</b> makes an animation, with the same timing and transparency."
        )
        return {**hidden, self.column: gr.update(visible=True), self.words: note(words)}

    def wire(self, tab: Tab[Any], settings: Sequence[Any], job: Callable[..., VideoJob]) -> None:
        """Connect the buttons.  job: (path, *values of `settings`) -> what to do."""

        def convert(session: Session, file_type: str, *values: Any, progress: gr.Progress = gr.Progress()) -> Outputs:
            state: ImageState = tab.state_of(session)
            if state.path is None:
                raise StudioError("There is no animation yet.", "Drop one into the box first.")
            shown = WorkProgress(progress, "Frames")
            return self._convert(session, state.path, file_type, job(state.path, *values), shown, tab.stopping(session, "animation"))

        inputs = [tab.session, self.file_type, *settings]
        outputs = [self.note, self.view, self.file]
        tab.long_work("animation", self.start, self.stop, convert, inputs, outputs, view=self.note, hide=[self.view, self.file])

    def _convert(
        self, session: Session, source: Path, file_type: str, job: VideoJob, progress: WorkProgress, cancel: Callable[[], bool]
    ) -> Outputs:
        info = animation_info(source)
        if info is None:
            raise StudioError("This picture does not move.", "Press 'Save picture'.")
        recipe = job.recipe.replace(source=keep_source(source, session.workspace.sources))
        ending = f".{file_type or info.file_type}"
        path = new_output(session, self.tab_id, file_stem(f"{safe_filename(source.stem)}-{recipe.model}"), ending)
        convert_animation(source, path, functools.partial(job.convert, job.recipe, cancel=cancel), progress, cancel, recipe)
        words = " ".join(filter(None, (session.workspace.saved_note(path, metadata_words()), animation_remark(info, ending))))
        return {
            self.note: gr.update(value=note(words), visible=True),
            **{part: gr.update(value=str(path), visible=True) for part in (self.view, self.file)},
        }

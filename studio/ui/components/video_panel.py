"""Panel for a video: a preview of its first frame, then every frame through a model."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from studio.common.text import safe_filename
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.outputs.video_translation import convert_video, first_frame
from studio.provenance.policy import file_stem
from studio.ui.components.compare import compare, compare_html
from studio.ui.components.handlers import LIVE, Outputs, friendly
from studio.ui.components.notes import note, refusal_html
from studio.ui.components.output_names import new_output
from studio.ui.components.tab import Tab
from studio.ui.components.work_progress import WorkProgress, time_left
from studio.ui.session import Session

_SMOOTHING = [("None: each frame by itself", "none"), ("Light", "light"), ("Strong: least flicker", "strong")]


@dataclass(frozen=True)
class FramePreview:
    """What a video will look like.

    before, after: the first frame or a piece of it, both in the same size.  alt: the words for it.
    size: HTML on the size of the video.  seconds: of work for one frame, estimated.
    """

    before: Image.Image
    after: Image.Image
    alt: str
    size: str
    seconds: float


@dataclass(frozen=True)
class VideoJob:
    """What is done to a video.  convert: (recipe, frame, cancel=...) -> the new frame."""

    recipe: ImageRecipe
    convert: Callable[..., Image.Image]


class VideoPanel:
    """Panel 'A video' of an image tab, built inside the current Blocks and hidden at first.

    tab_id: begins the element ids.  verb: on the button.  words: sentences on what happens.
    smoothing: against flicker, chosen at first: 'none', 'light' or 'strong'.
    """

    def __init__(self, tab_id: str, verb: str, words: str, smoothing: str):
        self.tab_id = tab_id
        with gr.Column(visible=False, elem_id=f"{tab_id}-clip") as self.column:
            gr.HTML(note(f"<b>A video.</b> {words}"), padding=False)
            self.stage = compare(value="", visible=False, elem_id=f"{tab_id}-clip-stage")
            self.facts = gr.HTML("", visible=False, padding=False, elem_id=f"{tab_id}-clip-facts")
            self.smoothing = gr.Radio(
                _SMOOTHING,
                value=smoothing,
                label="Against flicker (temporal smoothing)",
                elem_id=f"{tab_id}-smoothing",
                info="Calms what stands still; what moves stays sharp.",
            )
            with gr.Row(elem_classes="gs-tools"):
                self.start = gr.Button(f"{verb} the video", variant="primary", elem_id=f"{tab_id}-start-clip")
                self.stop = gr.Button("Stop", visible=False, elem_id=f"{tab_id}-stop-clip")
            self.note = gr.HTML("", visible=False, padding=False, elem_id=f"{tab_id}-clip-note")
            self.view = gr.Video(show_label=False, visible=False, interactive=False, elem_id=f"{tab_id}-clip-view", buttons=[])
            self.file = gr.DownloadButton("Download the video (MP4)", visible=False, elem_id=f"{tab_id}-clip-file")

    def wire(
        self,
        tab: Tab[Any],
        video: gr.File,
        settings: Sequence[Any],
        job: Callable[..., VideoJob],
        preview: Callable[..., FramePreview],
        triggers: Sequence[Callable[..., Any]],
    ) -> None:
        """Connect the buttons and the preview.

        video: the input.  job: (path, *values of `settings`) -> what to do.  preview: (first frame, *values) -> how it will look.
        triggers: events after which there is another preview.
        """

        def show(path: str | None, *values: Any) -> Outputs:
            return self._preview(path, lambda frame: preview(frame, *values))

        def convert(session: Session, path: str | None, smoothing: str, *values: Any, progress: gr.Progress = gr.Progress()) -> Outputs:
            if not path:
                raise StudioError("There is no video yet.", "Drop one into the box first.")
            shown = WorkProgress(progress, "Frames")
            return self._convert(session, path, smoothing, job(path, *values), shown, tab.stopping(session, "video"))

        gr.on([video.change, *triggers], friendly(show), [video, *settings], [self.stage, self.facts], **LIVE)
        outputs = [self.note, self.view, self.file]
        inputs = [tab.session, video, self.smoothing, *settings]
        tab.long_work("video", self.start, self.stop, convert, inputs, outputs, view=self.note, hide=[self.view, self.file])

    def _preview(self, path: str | None, preview: Callable[[Image.Image], FramePreview]) -> Outputs:
        if not path:
            return {part: gr.update(value="", visible=False) for part in (self.stage, self.facts)}
        try:
            frame, count = first_frame(path)
            shown = preview(frame)
        except StudioError as e:
            return {self.stage: gr.update(value=refusal_html(e), visible=True), self.facts: gr.update(visible=False)}
        work = (
            note(f"{count:,} frames · about {time_left(max(1, count * shown.seconds))} of work, estimated from this preview")
            if count
            else ""
        )
        return {
            self.stage: gr.update(value=compare_html(shown.before, shown.after, shown.alt), visible=True),
            self.facts: gr.update(value=shown.size + work, visible=True),
        }

    def _convert(
        self, session: Session, video: str, smoothing: str, job: VideoJob, progress: WorkProgress, cancel: Callable[[], bool]
    ) -> Outputs:
        recipe = job.recipe
        path = new_output(session, self.tab_id, file_stem(f"{safe_filename(Path(video).stem)}-{recipe.model}"), ".mp4")
        said: list[str] = []
        convert_video(video, path, functools.partial(job.convert, recipe, cancel=cancel), smoothing, progress, cancel, recipe, said.append)
        words = " ".join([session.workspace.saved_note(path), *said])
        return {
            self.note: gr.update(value=note(words), visible=True),
            **{part: gr.update(value=str(path), visible=True) for part in (self.view, self.file)},  # Gradio changes what it is given
        }

"""Panel for several pictures at once: files, a folder with its sub-folders or a zip; the results are downloaded as one zip."""

import functools
import html
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.datasets.sources import UploadedFile
from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.outputs.animations import AnimationInfo, animation_info, convert_animation, first_animation_frame
from studio.outputs.batches import Made, Outcome, batch_files, process_files
from studio.outputs.convert_files import Conversion, animation_remark
from studio.provenance.metadata import JPEG_QUALITY
from studio.provenance.source_pictures import keep_source
from studio.ui.components.compare import figures_html
from studio.ui.components.handlers import QUIET, Outputs
from studio.ui.components.notes import note
from studio.ui.components.output_names import new_output
from studio.ui.components.tab import Tab
from studio.ui.components.uploads import FilesInput, FolderButton
from studio.ui.components.video_panel import VideoJob
from studio.ui.components.work_progress import WorkProgress
from studio.ui.session import Session

_PNG, _LOSSLESS = "png", "webp-lossless"
_TYPES = [("PNG", _PNG), ("JPEG: small, without transparency", "jpeg"), ("WebP: small", "webp"), ("WebP, lossless", _LOSSLESS)]
_WITH_QUALITY = ("jpeg", "webp")
# (opened picture, settings of the batch, progress(done, total), cancel) -> what was made of it
Convert = Callable[[Any, Conversion, Callable[[int, int], None], Callable[[], bool]], Made]


@dataclass(frozen=True)
class BatchJob:
    """What is done to each of several pictures.

    recipe: model and settings, for the names.  longer_side: of the results, for the names; 0 = by the recipe's scale.
    own_scale: the model's.  about: a line for the report inside the zip.  open: file -> the opened picture.
    convert: a picture -> its result, in the file type of the conversion.  moving: path of an animation -> what is done to its frames.
    """

    recipe: ImageRecipe
    about: str
    open: Callable[[Path], Any]
    convert: Convert
    moving: Callable[[Path], VideoJob]
    longer_side: int = 0
    own_scale: int = 1


@dataclass(frozen=True)
class _Moving:
    """An animation among the files. Implements `batches.Opened`."""

    path: Path
    info: AnimationInfo
    remark: str = ""

    @property
    def name(self) -> str:
        return self.path.name


class BatchPanel:
    """Panel 'Several pictures' of an image tab, built inside the current Blocks and hidden at first.

    tab_id: begins the element ids.  verb: on buttons.  done: past participle of it, such as 'translated'.
    words: a sentence on what happens to each.
    """

    def __init__(self, tab_id: str, verb: str, done: str, words: str):
        self.tab_id, self.done = tab_id, done
        with gr.Column(visible=False, elem_id=f"{tab_id}-many") as self.column:
            gr.HTML(
                note(
                    f"<b>Several pictures.</b> {words} The zip keeps the sub-folders of a folder or zip that you give. A file that cannot "
                    "be used is listed and skipped."
                ),
                padding=False,
            )
            self.pattern = gr.Textbox(
                "{name}",
                label="Names of the results (pattern)",
                info="{name} of the source, {number} in the batch, {model}, {scale}: '{name}_x{scale}' makes cat_x4.",
                elem_id=f"{tab_id}-pattern",
            )
            self.file_type = gr.Radio(_TYPES, value=_PNG, label="File type", elem_id=f"{tab_id}-type")
            self.quality = gr.Slider(1, 100, JPEG_QUALITY, step=1, label="Quality", visible=False, elem_id=f"{tab_id}-quality")
            self.every_frame = gr.Checkbox(
                True,
                label="Animations stay animations (otherwise their first frame alone)",
                info="GIF, WebP and PNG stay what they are; where you choose WebP, all become WebP.",
                elem_id=f"{tab_id}-every-frame",
            )
            with gr.Row(elem_classes="gs-tools"):
                self.start = gr.Button(f"{verb} them", variant="primary", elem_id=f"{tab_id}-start-many")
                self.stop = gr.Button("Stop", visible=False, elem_id=f"{tab_id}-stop-many")
            self.view = gr.HTML("", visible=False, padding=False, elem_id=f"{tab_id}-many-view")
            self.zip = gr.DownloadButton("Download the zip", visible=False, elem_id=f"{tab_id}-zip")

    def wire(self, tab: Tab[Any], files: FilesInput, folder: FolderButton, settings: Sequence[Any], job: Callable[..., BatchJob]) -> None:
        """Connect the buttons.  files: the input.  folder: adds to it.  job: (session, *values of `settings`) -> what to do with each."""

        def convert(
            session: Session,
            given: list[UploadedFile] | None,
            pattern: str,
            file_type: str,
            quality: int,
            every_frame: bool,
            *values: Any,
            progress: gr.Progress = gr.Progress(),
        ) -> Outputs:
            if not given:
                raise StudioError("There are no pictures yet.", "Drop some into the box first.")
            what, level = job(session, *values), int(quality) if file_type in _WITH_QUALITY else None
            conversion = Conversion(
                what.recipe,
                {_PNG: "", _LOSSLESS: "webp"}.get(file_type, file_type),
                longer_side=what.longer_side,
                quality=level,
                pattern=pattern,
                every_frame=every_frame,
            )
            return self._convert(session, given, what, conversion, WorkProgress(progress, "Pictures"), tab.stopping(session, "batch"))

        self.file_type.input(lambda chosen: gr.update(visible=chosen in _WITH_QUALITY), self.file_type, self.quality, **QUIET)
        folder.upload(_joined, [files, folder], files, **QUIET)
        inputs = [tab.session, files, self.pattern, self.file_type, self.quality, self.every_frame, *settings]
        tab.long_work("batch", self.start, self.stop, convert, inputs, [self.view, self.zip], view=self.view, hide=[self.zip])

    def _convert(
        self,
        session: Session,
        given: list[UploadedFile],
        job: BatchJob,
        conversion: Conversion,
        progress: WorkProgress,
        cancel: Callable[[], bool],
    ) -> Outputs:
        count = [len(given)]

        def open_file(path: Path) -> Any:
            info = animation_info(path) if conversion.every_frame else None
            return _Moving(path, info) if info is not None else job.open(path)

        def convert(opened: Any) -> Made:
            begun = progress.done

            def show(done: int, total: int) -> None:
                progress(begun + done / total, count[0])

            if isinstance(opened, _Moving):
                return _moving(session, opened, job.moving(opened.path), conversion, Path(scratch), show, cancel)
            return job.convert(opened, conversion, show, cancel)

        with tempfile.TemporaryDirectory(prefix="studio-batch-") as scratch:
            found, refused = batch_files(given, Path(scratch), cancel)
            count[0], files = len(found), [file for file, _ in found]
            names = ["/".join((*_folders(name), conversion.stem(_stem(name), i, job.own_scale))) for i, (_, name) in enumerate(found, 1)]
            path = new_output(session, self.tab_id, f"{len(files)}-pictures-{job.recipe.model}", ".zip")
            outcomes = process_files(convert, files, path, job.about, progress, cancel, open_file, self.done, names) + refused
        some = any(o.entry for o in outcomes)
        return {
            self.view: gr.update(value=outcomes_html(outcomes, self.done), visible=True),
            self.zip: gr.update(value=str(path) if some else None, visible=some),
        }


def _joined(before: list[UploadedFile] | None, folder: list[UploadedFile]) -> list[UploadedFile]:
    """The files of the input with those of a folder, which a browser sends in any order."""
    return [*(before or []), *sorted(folder, key=lambda file: file.name)]


def _folders(name: str) -> list[str]:
    return name.split("/")[:-1]


def _stem(name: str) -> str:
    return name.rpartition("/")[2]


def _moving(
    session: Session,
    opened: _Moving,
    job: VideoJob,
    conversion: Conversion,
    scratch: Path,
    progress: Callable[[int, int], None],
    cancel: Callable[[], bool],
) -> Made:
    """Every frame of an animation through the model."""
    recipe, type_ = job.recipe.replace(source=keep_source(opened.path, session.workspace.sources)), conversion.moving_type(opened.info)
    draw = functools.partial(job.convert, job.recipe, cancel=cancel)
    quality = conversion.quality if type_ == "webp" else None
    path = convert_animation(opened.path, scratch / f"moving.{type_}", draw, progress, cancel, recipe, quality)
    return Made(first_animation_frame(path), path, path.suffix, animation_remark(opened.info, path.suffix))


def outcomes_html(outcomes: list[Outcome], done: str) -> str:
    """What became of several files.  done: what was to happen to them, such as 'translated'."""
    good, bad = [o for o in outcomes if o.entry], [o for o in outcomes if not o.entry]
    text = f"<b>{len(good):,} of {len(outcomes):,} pictures {done}.</b>"
    if bad:
        text += f" Not {done}:<ul>" + "".join(f"<li>{html.escape(o.sentence)}</li>" for o in bad) + "</ul>"
    said = [o for o in good if o.remark]
    if said:
        text += " To know:<ul>" + "".join(f"<li>{html.escape(f'{o.name}: {o.remark}')}</li>" for o in said) + "</ul>"
    seen = [(o.preview, o.entry) for o in good if o.preview is not None]
    more = note(f"and {len(good) - len(seen):,} more in the zip.") if len(seen) < len(good) else ""
    return note(text) + figures_html([(*figure, DigitalSourceType.COMPOSITE) for figure in seen]) + more

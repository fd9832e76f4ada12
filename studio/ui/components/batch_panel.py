"""Panel for several pictures at once: the results are downloaded as one zip."""

import html
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType
from studio.outputs.batches import Outcome, process_files, unpack_zips
from studio.ui.components.compare import figures_html
from studio.ui.components.handlers import Outputs
from studio.ui.components.notes import note
from studio.ui.components.output_names import new_output
from studio.ui.components.tab import Tab
from studio.ui.components.work_progress import WorkProgress
from studio.ui.session import Session


@dataclass(frozen=True)
class BatchJob:
    """What is done to each of several pictures.

    model: its id, for the name of the zip.  about: a line for the report inside the zip.  open: file -> the opened picture.
    convert: (opened picture, progress(done, total), cancel) -> the result, or a smaller picture of it, and the same as a PNG: its
    bytes, or a file, which is deleted afterwards.
    """

    model: str
    about: str
    open: Callable[[Path], Any]
    convert: Callable[[Any, Callable[[int, int], None], Callable[[], bool]], tuple[Image.Image, bytes | Path]]


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
                    f"<b>Several pictures.</b> {words} The zip keeps their names, and for a zip that you drop its folders too. A file that "
                    "cannot be used is listed and skipped."
                ),
                padding=False,
            )
            with gr.Row(elem_classes="gs-tools"):
                self.start = gr.Button(f"{verb} them", variant="primary", elem_id=f"{tab_id}-start-many")
                self.stop = gr.Button("Stop", visible=False, elem_id=f"{tab_id}-stop-many")
            self.view = gr.HTML("", visible=False, padding=False, elem_id=f"{tab_id}-many-view")
            self.zip = gr.DownloadButton("Download the zip", visible=False, elem_id=f"{tab_id}-zip")

    def wire(self, tab: Tab[Any], files: gr.File, settings: Sequence[Any], job: Callable[..., BatchJob]) -> None:
        """Connect the buttons.  files: the input.  job: (session, *values of `settings`) -> what to do with each."""

        def convert(session: Session, paths: list[str] | None, *values: Any, progress: gr.Progress = gr.Progress()) -> Outputs:
            if not paths:
                raise StudioError("There are no pictures yet.", "Drop some into the box first.")
            shown = WorkProgress(progress, "Pictures")
            return self._convert(session, paths, job(session, *values), shown, tab.stopping(session, "batch"))

        inputs = [tab.session, files, *settings]
        tab.long_work("batch", self.start, self.stop, convert, inputs, [self.view, self.zip], view=self.view, hide=[self.zip])

    def _convert(self, session: Session, paths: list[str], job: BatchJob, progress: WorkProgress, cancel: Callable[[], bool]) -> Outputs:
        count = [len(paths)]

        def convert(opened: Any) -> tuple[Image.Image, bytes | Path]:
            begun = progress.done
            return job.convert(opened, lambda done, total: progress(begun + done / total, count[0]), cancel)

        with tempfile.TemporaryDirectory(prefix="studio-batch-") as scratch:
            files, refused = unpack_zips(paths, Path(scratch), cancel)
            count[0], names = len(files), [name for _, name in files]
            path = new_output(session, self.tab_id, f"{len(files)}-pictures-{job.model}", ".zip")
            given = [file for file, _ in files]
            outcomes = process_files(convert, given, path, job.about, progress, cancel, job.open, self.done, names) + refused
        some = any(o.entry for o in outcomes)
        return {
            self.view: gr.update(value=outcomes_html(outcomes, self.done), visible=True),
            self.zip: gr.update(value=str(path) if some else None, visible=some),
        }


def outcomes_html(outcomes: list[Outcome], done: str) -> str:
    """What became of several files.  done: what was to happen to them, such as 'translated'."""
    good, bad = [o for o in outcomes if o.entry], [o for o in outcomes if not o.entry]
    text = f"<b>{len(good):,} of {len(outcomes):,} pictures {done}.</b>"
    if bad:
        text += f" Not {done}:<ul>" + "".join(f"<li>{html.escape(o.sentence)}</li>" for o in bad) + "</ul>"
    seen = [(o.preview, o.entry) for o in good if o.preview is not None]
    more = note(f"and {len(good) - len(seen):,} more in the zip.") if len(seen) < len(good) else ""
    return note(text) + figures_html([(*figure, DigitalSourceType.COMPOSITE) for figure in seen]) + more

"""Upload zone of the Train tab for one training set: add pictures, look at a set, remove some of it, delete it."""

import html
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from studio.datasets.rights import ANSWERS, LICENSED, NONE, OWN
from studio.datasets.sources import UploadedFile
from studio.datasets.store import DataSetStore
from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.jobs.dependants import needing_set
from studio.jobs.supervisor import Supervisor
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.picture_html import data_url
from studio.ui.components.press_grid import cells_html, press_grid
from studio.ui.components.training_set_view import facts_html, hex_colour, report_html, set_label, square_crop, stated_consent
from studio.ui.components.uploads import FilesInput, FolderButton
from studio.ui.session import Session

_PAGE = 48  # pictures per page of the sheet
_NO_SET = "No pictures yet. Drop some into the box: files, a folder, a zip, or a video."
_HIDDEN = gr.update(visible=False)


@dataclass
class _Visit:
    """What one visitor sees in this zone.

    page: of the sheet, from 0.  marked: names of pictures to remove.  shown: names on the sheet.  added: id of the set that was
    made last.  stop: set to end an upload that is being processed.
    """

    page: int = 0
    marked: set[str] = field(default_factory=set)
    shown: list[str] = field(default_factory=list)
    added: str = ""
    stop: threading.Event = field(default_factory=threading.Event)


class UploadZone:
    """Two columns inside the current Row: an upload form, and the training set that is selected.

    id: beginning of the elem_ids.  css: class of both columns.  visible: at first.
    """

    def __init__(self, datasets: DataSetStore, supervisor: Supervisor, session: gr.State, id: str, css: str, visible: bool = True):
        self.datasets, self.supervisor, self.session, self.id, self.visible = datasets, supervisor, session, id, visible
        self.css = ["gs-zone", css]
        self._visits: dict[str, _Visit] = {}

    def _visit(self, session: Session | None) -> _Visit:
        if session is None:
            raise StudioError("The page is still opening.", "Try again in a moment.")
        return self._visits.setdefault(session.id, _Visit())

    def forget(self, session: Session) -> None:
        """Drop the state of a visitor who has left, and stop their upload."""
        self._visits.pop(session.id, _Visit()).stop.set()

    # -- layout --------------------------------------------------------------------------------------------------

    def build_form(self, intro: str, below: Callable[[], None] = lambda: None) -> None:
        """The column with the upload form.  intro: HTML above it.  below: builds what else is in the column."""
        with gr.Column(scale=4, min_width=300, visible=self.visible, elem_classes=self.css) as self.form:
            self.intro = gr.HTML(note(intro), padding=False)
            self.files = FilesInput(
                label="Drop pictures here", file_count="multiple", height=170, elem_id=f"{self.id}-files", elem_classes="gs-drop"
            )
            self.folder = FolderButton("Choose a folder", file_count="directory", size="sm", elem_id=f"{self.id}-folder")
            self.title = gr.Textbox("", label="Name of the training set", placeholder="My watercolours", elem_id=f"{self.id}-title")
            self.by_folder = gr.Checkbox(True, label="Each sub-folder is a class (a kind of picture)", visible=self.visible)
            self.every_frame = gr.Checkbox(
                True, label="Take every frame of animations, and every page of files with several", elem_id=f"{self.id}-every-frame"
            )
            answers = [(f"{words[0].upper()}{words[1:]}", answer) for answer, words in ANSWERS.items()]
            self.owned = gr.Radio(answers, value=None, label="Rights to these pictures", elem_id=f"{self.id}-owned")
            self.licence = gr.Textbox(
                "",
                label="Which permission or licence?",
                placeholder="CC BY 4.0, or: by e-mail from Anna, May 2026",
                visible=False,
                elem_id=f"{self.id}-data-licence",
            )
            self.attribution = gr.Textbox(
                "", label="Who should be credited? (attribution)", visible=False, elem_id=f"{self.id}-attribution"
            )
            self.source = gr.Textbox("", label="Where do they come from?", visible=False, elem_id=f"{self.id}-source")
            with gr.Row(elem_classes="gs-tools"):
                self.add = gr.Button("Create training set", variant="primary", elem_id=f"{self.id}-take")
                self.stop = gr.Button("Stop", visible=False, elem_id=f"{self.id}-take-stop")
            self.report = gr.HTML("", padding=False, elem_id=f"{self.id}-report")
            below()

    def build_viewer(self) -> None:
        """The column with the selected training set."""
        with gr.Column(scale=6, min_width=320, visible=self.visible, elem_classes=self.css) as self.viewer:
            self.set = gr.Dropdown([], label="Training set", elem_id=f"{self.id}-set", visible=False)
            self.facts = gr.HTML(padding=False, elem_id=f"{self.id}-sheet-note")
            self.sheet = press_grid(value=empty_html(_NO_SET), elem_id=f"{self.id}-sheet", elem_classes="gs-pictures")
            with gr.Row(elem_classes="gs-tools"):
                self.previous = gr.Button("← Previous page", visible=False)
                self.next = gr.Button("Next page →", visible=False)
                self.remove = gr.Button("Remove marked pictures", visible=False, elem_id=f"{self.id}-leave-out")
                self.delete = gr.Button("Delete this set", visible=False, elem_id=f"{self.id}-delete")
            with gr.Group(visible=False) as self.delete_box:
                self.delete_note = gr.HTML(padding=False, elem_id=f"{self.id}-delete-note")
                with gr.Row(elem_classes="gs-tools"):
                    self.delete_yes = gr.Button("Delete permanently", variant="stop", elem_id=f"{self.id}-delete-yes")
                    self.delete_no = gr.Button("Keep it")

    # -- wiring --------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> list:
        """Components that `shown` may change."""
        return [self.set, self.sheet, self.facts, self.previous, self.next, self.remove, self.delete]

    def wire(self, crop: gr.Radio, background: gr.ColorPicker, by_folder: gr.Checkbox) -> None:
        """Connect the events.  crop, background, by_folder: controls that several zones share."""
        s = self.session
        look: dict[str, Any] = {"inputs": [s, self.set, crop, background], "outputs": self.outputs, **QUIET}
        rights = [self.owned, self.licence, self.attribution, self.source]
        self.owned.input(self._ask_for_details, self.owned, rights[1:], **QUIET)
        added = self.add.click(friendly(self._begin_adding), s, [self.stop, self.report], **QUIET).then(
            friendly(self._add),
            [s, self.files, self.folder, self.title, by_folder, self.every_frame, *rights, crop, background],
            [self.report, self.title, self.files, *rights],
            show_progress="full",
            show_progress_on=self.report,
            api_visibility="private",
            concurrency_limit=None,
        )
        added.then(lambda: _HIDDEN, None, self.stop, **QUIET)
        added.success(friendly(self._show_added), **look)
        self.stop.click(lambda session: self._visit(session).stop.set(), s, None, **QUIET)
        self.folder.upload(
            lambda files: note(f"{len(files):,} files from the folder are ready: press <b>Create training set</b>."),
            self.folder,
            self.report,
            **QUIET,
        )
        self.set.input(friendly(self._select_set), **look)
        for control in (crop, background):
            control.input(friendly(self._draw_sheet), **look)
        self.sheet.select(friendly(self._mark), **look)
        self.previous.click(friendly(lambda *a: self._turn(-1, *a)), **look)
        self.next.click(friendly(lambda *a: self._turn(1, *a)), **look)
        self.remove.click(friendly(self._remove), **look)
        self.delete.click(friendly(self._ask_to_delete), self.set, [self.delete_box, self.delete_note], **QUIET)
        self.delete_no.click(lambda: _HIDDEN, None, self.delete_box, **QUIET)
        self.delete_yes.click(friendly(self._delete), look["inputs"], [self.delete_box, *self.outputs], **QUIET)

    # -- showing a set -------------------------------------------------------------------------------------------

    def shown(self, session: Session, id: str | None, crop: str, background: str) -> Outputs:
        """The sets that exist now, and the sheet of the set `id`, if it still exists."""
        sets = self.datasets.list()
        id = id if any(x.id == id for x in sets) else None
        return {
            self.set: gr.update(choices=[(set_label(x), x.id) for x in sets], value=id, visible=bool(sets)),
            **self._draw_sheet(session, id, crop, background),
        }

    def _draw_sheet(self, session: Session, id: str | None, crop: str, background: str) -> Outputs:
        """One page of the set, cropped as training will crop it."""
        visit = self._visit(session)
        if not id:
            buttons = dict.fromkeys([self.previous, self.next, self.remove, self.delete], _HIDDEN)
            return {self.sheet: empty_html(_NO_SET), self.facts: "", **buttons}
        stored = self.datasets.get(id)
        pages = -(-stored.count // _PAGE)
        visit.page = min(visit.page, pages - 1)
        pictures = self.datasets.sheet(id, visit.page, _PAGE, square_crop(crop), 96, parse_colour(hex_colour(background)))
        visit.shown = [name for name, _ in pictures]
        cells = [{"src": data_url(p, None), "alt": name, "marked": name in visit.marked} for name, p in pictures]
        marked = len(visit.marked)
        return {
            self.sheet: cells_html(cells, columns=8),
            self.facts: facts_html(stored, crop, visit.page, pages),
            self.previous: gr.update(visible=visit.page > 0),
            self.next: gr.update(visible=visit.page + 1 < pages),
            self.remove: gr.update(visible=marked > 0, value=f"Remove {marked} marked"),
            self.delete: gr.update(visible=True),
        }

    def _turn(self, by: int, session: Session, id: str, crop: str, background: str) -> Outputs:
        visit = self._visit(session)
        visit.page = max(0, visit.page + by)
        return self._draw_sheet(session, id, crop, background)

    def _from_first_page(self, session: Session) -> None:
        visit = self._visit(session)
        visit.page, visit.marked = 0, set()

    def _select_set(self, session: Session, id: str, crop: str, background: str) -> Outputs:
        self._from_first_page(session)
        return self._draw_sheet(session, id, crop, background)

    # -- adding --------------------------------------------------------------------------------------------------

    def _ask_for_details(self, answer: str) -> Outputs:
        licensed = gr.update(visible=answer == LICENSED)
        return {self.licence: licensed, self.attribution: licensed, self.source: gr.update(visible=answer in (LICENSED, NONE))}

    def _begin_adding(self, session: Session) -> Outputs:
        self._visit(session).stop.clear()
        return {self.stop: gr.update(visible=True), self.report: note("Reading the pictures ...")}

    def _add(
        self,
        session: Session,
        files: list[UploadedFile] | None,
        folder: list[UploadedFile] | None,
        title: str,
        by_folder: bool,
        every_frame: bool,
        answer: str | None,
        licence: str,
        attribution: str,
        source: str,
        crop: str,
        background: str,
        progress: gr.Progress = gr.Progress(),
    ) -> Outputs:
        paths = [*(files or []), *(folder or [])]
        if not paths:
            raise StudioError("There are no pictures yet.", "Drop files, a zip or a video first.")
        visit, consent = self._visit(session), stated_consent(answer, licence, attribution, source)

        def show_progress(done: int, total: int, name: str) -> None:
            progress((done, total), desc=name, unit="files")

        report = self.datasets.ingest(
            paths,
            owned=consent.answer in (OWN, LICENSED),
            consent=consent,
            title=title,
            ground=parse_colour(hex_colour(background)),
            classes=by_folder,
            every_frame=every_frame,
            cancel=visit.stop.is_set,
            progress=show_progress,
        )
        try:
            stored = self.datasets.add(report, crop=square_crop(crop))
        except BaseException:
            report.discard()
            raise
        visit.added = stored.id
        # The question about rights is reset: the next pictures may be somebody else's.
        cleared = dict.fromkeys([self.licence, self.attribution, self.source], gr.update(value="", visible=False))
        return {self.report: report_html(report, stored.already), self.title: stored.title, self.files: None, self.owned: None, **cleared}

    def _show_added(self, session: Session, _: str | None, crop: str, background: str) -> Outputs:
        self._from_first_page(session)
        return self.shown(session, self._visit(session).added, crop, background)

    # -- removing and deleting -----------------------------------------------------------------------------------

    def _mark(self, session: Session, id: str, crop: str, background: str, event: gr.EventData) -> Outputs:
        visit, index = self._visit(session), event._data.get("index")
        if isinstance(index, int) and 0 <= index < len(visit.shown):
            visit.marked ^= {visit.shown[index]}
        return self._draw_sheet(session, id, crop, background)

    def _remove(self, session: Session, id: str, crop: str, background: str) -> Outputs:
        visit = self._visit(session)
        stored = self.datasets.without(id, visit.marked)
        visit.marked = set()
        return self.shown(session, stored.id, crop, background)

    def _ask_to_delete(self, id: str) -> Outputs:
        dependants = self.datasets.dependants(id, others=needing_set(self.supervisor.jobs(), id))
        listed = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in dict.fromkeys(dependants))
        what = f"What depends on it:<ul>{listed}</ul>" if dependants else "Nothing depends on it."
        title = html.escape(self.datasets.get(id).title)
        return {self.delete_box: gr.update(visible=True), self.delete_note: note(f"<b>Delete '{title}'?</b> {what}")}

    def _delete(self, session: Session, id: str, crop: str, background: str) -> Outputs:
        self.datasets.delete(id)
        self._from_first_page(session)
        sets = self.datasets.list()
        return {self.delete_box: _HIDDEN, **self.shown(session, sets[0].id if sets else None, crop, background)}

"""Models: what is in the studio, where it can be used, and how more come in."""

import contextlib
import datetime
import html
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from studio.common.text import printable
from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.jobs.queue import Job
from studio.models import manage, trash
from studio.models.folder import ModelInfo
from studio.models.library import Broken
from studio.training.plan import Plan
from studio.ui.components.handlers import LIVE, QUIET, WORK, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.press_grid import press_grid
from studio.ui.components.targets import Opening
from studio.ui.components.upload_zone import LIVE_STATES
from studio.ui.models.add_model import AddModel
from studio.ui.models.view import (
    ABILITIES,
    EVERYTHING,
    DownloadProgress,
    about_html,
    bin_html,
    broken_html,
    card_html,
    cards_html,
    matching,
    size_in_words,
)
from studio.ui.session import Session

_CHOOSE = "<b>Press a model.</b><br>Here it says what it can do, where it is from, and where to use it."
_SHIPPED = "It came with the studio and stays as it is. Duplicate it to have one of your own."
_TO_DETAILS_JS = """() => requestAnimationFrame(() => {
  if (matchMedia('(max-width: 640px)').matches) document.querySelector('#models-right')?.scrollIntoView({ block: 'start' });
})"""


@dataclass
class ModelsVisit:
    """What one visitor does here.

    model: id of the one whose details are open.  listed, binned: ids of what is shown, in its order.  thrown: what Undo gives
    back, an entry of the bin.  stop: set to end the copy or the zip that is being made.
    """

    model: str = ""
    listed: list[str] = field(default_factory=list)
    binned: list[str] = field(default_factory=list)
    thrown: str = ""
    stop: threading.Event = field(default_factory=threading.Event)


class ModelsTab:
    """Builds the tab inside the current Blocks and wires it.

    tabs: the outer ones, and openings: those of them where a model can be used.  jobs: the trainings there are.
    editable: whether visitors may rename, copy, throw away and add models; False where many come.
    """

    def __init__(
        self,
        engine: Engine,
        session: gr.State,
        tabs: gr.Tabs,
        openings: Sequence[Opening],
        jobs: Callable[[], list[Job]] = list,
        editable: bool = True,
    ):
        self.engine, self.session, self.tabs, self.openings = engine, session, tabs, list(openings)
        self.jobs, self.editable = jobs, editable
        self._visits: dict[str, ModelsVisit] = {}
        self._build()
        self._wire()

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        with gr.Row(equal_height=False, elem_id="models-page"):
            with gr.Column(scale=6, min_width=320, elem_id="models-left"):
                if self.editable:
                    self.adding = AddModel(self.engine, self.session)
                with gr.Row(elem_id="models-filter"):
                    self.what = gr.Radio(ABILITIES, value=EVERYTHING, label="What it can do", min_width=280, elem_id="models-what")
                    self.find = gr.Textbox(
                        "", label="Find", placeholder="a name, family, class or licence", max_lines=1, min_width=200, elem_id="models-find"
                    )
                self.cards = press_grid(elem_id="models-cards")
                self.broken = gr.HTML("", visible=False, padding=False, elem_id="models-broken")
                if self.editable:
                    with gr.Accordion("Bin", open=False, visible=False, elem_id="models-bin-box") as self.bin_box:
                        gr.HTML(note("What you threw away stays here for 30 days."), padding=False)
                        self.bin = press_grid(elem_id="models-bin")
                        with gr.Row(elem_classes="gs-tools"):
                            self.empty = gr.Button("Empty the bin", size="sm", elem_id="models-empty")
                            self.empty_yes = gr.Button(
                                "Delete it all for good", variant="stop", size="sm", visible=False, elem_id="models-empty-yes"
                            )
                            self.empty_no = gr.Button("Keep it", size="sm", visible=False)
            with gr.Column(scale=4, min_width=320, elem_id="models-right"):
                if self.editable:
                    with gr.Row(visible=False, elem_id="models-undo-box", elem_classes="gs-undo") as self.undo_box:
                        self.undo_note = gr.HTML("", padding=False, elem_id="models-undo-note")
                        self.undo = gr.Button("Undo", size="sm", elem_id="models-undo")
                self.hint = gr.HTML(empty_html(_CHOOSE), padding=False, elem_id="models-hint")
                with gr.Column(visible=False, elem_id="models-details") as self.details:
                    self._build_details()

    def _build_details(self) -> None:
        self.close = gr.Button("✕ Close", size="sm", elem_id="models-close")
        self.about = gr.HTML("", padding=False, elem_id="models-about")
        with gr.Row(elem_classes="gs-tools"):
            self.open_buttons = [
                gr.Button(f"Open in {o.label}", variant="primary", visible=False, elem_id=f"models-open-{o.id}") for o in self.openings
            ]
        with gr.Row(elem_classes="gs-tools"):
            self.export = gr.Button("Export as zip", elem_id="models-export")
            if self.editable:
                self.duplicate = gr.Button("Duplicate", elem_id="models-duplicate")
                self.forget = gr.Button("Free its memory", visible=False, elem_id="models-forget")
                self.delete = gr.Button("Throw away", visible=False, elem_id="models-delete")
        with gr.Row(elem_classes="gs-tools"):
            self.stop = gr.Button("Stop", visible=False, elem_id="models-stop")
        self.work_view = gr.HTML("", visible=False, padding=False, elem_id="models-work")
        self.zip = gr.DownloadButton("Download the zip", visible=False, elem_id="models-zip")
        if self.editable:
            with gr.Row(visible=False, elem_id="models-name-box", elem_classes="gs-field") as self.name_box:
                self.name = gr.Textbox("", label="Name", max_lines=1, max_length=120, elem_id="models-name")
                self.rename = gr.Button("Rename", elem_id="models-rename")
            self.fixed = gr.HTML(note(_SHIPPED), visible=False, padding=False, elem_id="models-fixed")
        with gr.Accordion("Its card", open=True, visible=False, elem_id="models-card-box") as self.card_box:
            self.card = gr.HTML("", padding=False, elem_id="models-card")

    @property
    def outputs(self) -> list:
        """All that `enter` may change."""
        always = [
            self.cards,
            self.broken,
            self.hint,
            self.details,
            self.about,
            *self.open_buttons,
            self.work_view,
            self.zip,
            self.card_box,
            self.card,
        ]
        if not self.editable:
            return always
        return [
            *always,
            self.bin_box,
            self.bin,
            self.undo_box,
            self.undo_note,
            self.forget,
            self.delete,
            self.name_box,
            self.name,
            self.fixed,
            *self.adding.lists,
        ]

    @property
    def enter_inputs(self) -> list:
        """Inputs of `enter` after the session."""
        return [self.what, self.find]

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        look, tidy = [self.session, *self.enter_inputs], {"outputs": self.outputs, **QUIET}
        to_details = {"fn": None, "js": _TO_DETAILS_JS, **QUIET}
        gr.on([self.what.input, self.find.change], friendly(self._list), look, self.outputs, **LIVE)
        self.about.change(**to_details)
        self.cards.select(friendly(self._press), look, **tidy).success(**to_details)
        self.close.click(friendly(self._close), look, **tidy)
        for button, opening in zip(self.open_buttons, self.openings, strict=True):
            button.click(friendly(self._opener(opening)), self.session, [self.tabs, *opening.outputs], **QUIET)
        self._work(self.export, self._export, [self.session], [self.work_view, self.zip])
        if not self.editable:
            return
        self._work(self.duplicate, self._duplicate, look, self.outputs)
        for trigger in (self.rename.click, self.name.submit):
            trigger(friendly(self._rename), [*look, self.name], **tidy)
        self.forget.click(friendly(self._forget), look, **tidy)
        self.delete.click(friendly(self._throw_away), look, **tidy).success(**to_details)
        self.undo.click(friendly(self._undo), look, **tidy)
        self.bin.select(friendly(self._restore), look, **tidy)
        sure = [self.empty, self.empty_yes, self.empty_no]
        self.empty.click(lambda: _sure(True), None, sure, **QUIET)
        self.empty_no.click(lambda: _sure(False), None, sure, **QUIET)
        self.empty_yes.click(friendly(self._empty), look, **tidy).then(lambda: _sure(False), None, sure, **QUIET)
        self.adding.wire(self._added, look, [*self.outputs, self.what, self.find])

    def _work(self, button: gr.Button, run: Callable, inputs: list, outputs: list) -> None:
        """A button that begins long work, with progress and a way to stop."""

        def begin(session: Session) -> list:
            self._visit(session).stop.clear()
            return [gr.update(visible=True), gr.update(value=note("Beginning ..."), visible=True), gr.update(visible=False)]

        work = button.click(friendly(begin), self.session, [self.stop, self.work_view, self.zip], **QUIET).success(
            friendly(run), inputs, outputs, show_progress_on=self.work_view, **WORK
        )
        work.failure(lambda: [gr.update(visible=False)] * 2, None, [self.stop, self.work_view], **QUIET)
        work.success(lambda: gr.update(visible=False), None, self.stop, **QUIET)
        self.stop.click(lambda session: self._visit(session).stop.set(), self.session, None, **QUIET)

    def _visit(self, session: Session | None) -> ModelsVisit:
        if session is None:
            raise StudioError("The page is still opening.", "Try again in a moment.")
        return self._visits.setdefault(session.id, ModelsVisit())

    def forget(self, session: Session) -> None:
        """The visitor has left."""
        self._visits.pop(session.id, ModelsVisit()).stop.set()

    # -- showing -------------------------------------------------------------------------------------------------

    def enter(self, session: Session, what: str, find: str) -> dict:
        """When the tab is opened, and after every change: the list, and the details that are open."""
        models, broken = self.engine.library.scan()
        return {**self._listed(session, what, find, models, broken), **self._shown(session, models)}

    def _list(self, session: Session, what: str, find: str) -> dict:
        return self._listed(session, what, find, *self.engine.library.scan())

    def _listed(self, session: Session, what: str, find: str, models: list[ModelInfo], broken: list[Broken]) -> dict:
        visit, library = self._visit(session), self.engine.library
        found = matching(models, what, find)
        visit.listed = [m.id for m in found]
        cards = cards_html(library, found, visit.model, self.engine.status()["loaded"])
        out = {self.cards: cards, self.broken: gr.update(value=broken_html(broken), visible=bool(broken))}
        if self.editable:
            thrown = trash.list_trash(library)
            visit.binned = [t.id for t in thrown]
            size = size_in_words(sum(t.size for t in thrown))
            out |= {
                self.bin_box: gr.update(label=f"Bin: {len(thrown)}, {size}", visible=bool(thrown)),
                self.bin: bin_html(thrown),
                **self.adding.listed(models),
            }
        return out

    def _shown(self, session: Session, models: list[ModelInfo]) -> dict:
        """The details of the visitor's model, or that none is chosen."""
        visit, library = self._visit(session), self.engine.library
        info = next((m for m in models if m.id == visit.model), None)
        off = gr.update(visible=False)
        if info is None:
            visit.model = ""
            return {self.hint: gr.update(visible=True), self.details: off, self.about: ""}
        card = card_html(info)
        out = {
            self.hint: off,
            self.details: gr.update(visible=True),
            self.about: about_html(library, info),
            self.work_view: off,
            self.zip: off,
            self.card: card,
            self.card_box: gr.update(visible=bool(card)),
            **{b: gr.update(visible=o.suits(info)) for b, o in zip(self.open_buttons, self.openings, strict=True)},
        }
        if self.editable:
            own = manage.is_own(library, info)
            loaded = info.id in self.engine.status()["loaded"]
            out |= {
                self.forget: gr.update(visible=loaded),
                self.delete: gr.update(visible=own),
                self.name_box: gr.update(visible=own),
                self.name: printable(info.title),
                self.fixed: gr.update(visible=not own and bool(info.hash)),
            }
        return out

    def _chosen(self, session: Session) -> ModelInfo:
        """The model whose details are open; one that is offered becomes a folder."""
        if not self._visit(session).model:
            raise StudioError("No model is chosen.", "Press one first.")
        return self.engine.library.get(self._visit(session).model)

    def _press(self, session: Session, what: str, find: str, event: gr.EventData) -> dict:
        visit = self._visit(session)
        visit.model = _picked(visit.listed, event)
        return self.enter(session, what, find)

    def _close(self, session: Session, what: str, find: str) -> dict:
        self._visit(session).model = ""
        return self.enter(session, what, find)

    def _opener(self, opening: Opening) -> Callable:
        def open_model(session: Session) -> list:
            return [gr.update(selected=opening.id), *opening.open(session, self._chosen(session))]

        return open_model

    # -- keeping -------------------------------------------------------------------------------------------------

    def _export(self, session: Session, progress: gr.Progress = gr.Progress()) -> list:
        info, pace = self._chosen(session), DownloadProgress(progress)
        # The name of the file cannot be guessed, for whoever knows it may download it.
        moment = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(6)}"
        path = session.workspace.output("models", f"{info.id}-{moment}.zip")
        try:
            manage.export_zip(info, path, lambda done, all_: pace("Packing", done, all_), self._visit(session).stop.is_set)
        except CancelledError:
            return [gr.update(value=note("Stopped; nothing was kept."), visible=True), gr.update(visible=False)]
        told = note(session.workspace.saved_note(path))
        label = f"Download {info.id}.zip ({size_in_words(path.stat().st_size)})"
        return [gr.update(value=told, visible=True), gr.update(value=str(path), label=label, visible=True)]

    def _duplicate(self, session: Session, what: str, find: str, progress: gr.Progress = gr.Progress()) -> dict:
        visit, pace = self._visit(session), DownloadProgress(progress)
        info = self._chosen(session)
        try:
            copy = manage.duplicate(self.engine.library, info.id, None, lambda done, all_: pace("Copying", done, all_), visit.stop.is_set)
        except CancelledError:
            return {self.work_view: gr.update(value=note("Stopped; nothing was kept."), visible=True)}
        visit.model = copy.id
        return self.enter(session, what, find)

    def _rename(self, session: Session, what: str, find: str, title: str) -> dict:
        manage.rename(self.engine.library, self._chosen(session).id, title)
        return self.enter(session, what, find)

    def _forget(self, session: Session, what: str, find: str) -> dict:
        self.engine.forget(self._chosen(session).id)
        return self.enter(session, what, find)

    def _throw_away(self, session: Session, what: str, find: str) -> dict:
        visit, library = self._visit(session), self.engine.library
        info = self._chosen(session)
        told = [*trash.dependants(library, info.id), *self._waiting(info)]
        visit.thrown = trash.move_to_trash(library, info.id).id
        self.engine.forget(info.id)
        listed = "".join(f"<li>{html.escape(t)}</li>" for t in told)
        text = note(f"<b>{html.escape(info.title)}</b> is in the bin." + (f"<ul>{listed}</ul>" if told else ""))
        return {**self.enter(session, what, find), self.undo_box: gr.update(visible=True), self.undo_note: text}

    def _waiting(self, info: ModelInfo) -> list[str]:
        """Sentences on the trainings of the queue that begin from a model."""
        out = []
        for job in self.jobs():
            with contextlib.suppress(StudioError):  # a plan of another version
                if job.state in LIVE_STATES and Path(Plan.from_toml(job.plan_toml).base).name == info.id:
                    out.append(f"The training '{job.title}' begins from it: restore it, or that may not go on.")
        return out

    def _undo(self, session: Session, what: str, find: str) -> dict:
        visit = self._visit(session)
        return self._back(session, visit.thrown, what, find)

    def _restore(self, session: Session, what: str, find: str, event: gr.EventData) -> dict:
        return self._back(session, _picked(self._visit(session).binned, event), what, find)

    def _back(self, session: Session, thrown: str, what: str, find: str) -> dict:
        visit = self._visit(session)
        visit.model = trash.restore(self.engine.library, thrown).id
        return {**self.enter(session, what, find), self.undo_box: gr.update(visible=False)}

    def _empty(self, session: Session, what: str, find: str) -> dict:
        trash.empty_trash(self.engine.library, older_than_days=0)
        return {**self.enter(session, what, find), self.undo_box: gr.update(visible=False)}

    def _added(self, session: Session, info: ModelInfo, what: str, find: str) -> dict:
        """Opens the details of a model that has just come."""
        visit = self._visit(session)
        visit.model = info.id
        values = self.enter(session, what, find)
        if info.id not in visit.listed:  # what was typed under Find hides it
            return {**values, **self._list(session, EVERYTHING, ""), self.what: EVERYTHING, self.find: ""}
        return values


def _sure(asked: bool) -> list:
    """For [empty, empty_yes, empty_no]."""
    return [gr.update(visible=not asked), gr.update(visible=asked), gr.update(visible=asked)]


def _picked(ids: list[str], event: gr.EventData) -> str:
    index = event._data.get("index")
    if not (isinstance(index, int) and 0 <= index < len(ids)):
        raise StudioError("That is no longer here.", "Reload the page.")
    return ids[index]

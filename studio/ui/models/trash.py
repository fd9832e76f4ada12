"""Trash of the Models tab: models that were removed, to be restored within 30 days or deleted permanently."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import gradio as gr

from studio.jobs.dependants import needing_model
from studio.models import trash
from studio.ui.components.handlers import QUIET, Outputs
from studio.ui.components.notes import note
from studio.ui.components.press_grid import press_grid, pressed
from studio.ui.components.work_progress import bytes_in_words
from studio.ui.models.view import trash_html
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.models.tab import ModelsTab


class TrashSection:
    """The list of trashed models below the cards, and the bar with Undo above the details."""

    def __init__(self, tab: ModelsTab):
        self.tab, self.engine = tab, tab.engine
        with gr.Accordion("Trash", open=False, visible=False, elem_id="models-bin-box") as self.box:
            gr.HTML(note("Models in the trash are kept for 30 days."), padding=False)
            self.entries = press_grid(elem_id="models-bin")
            with gr.Row(elem_classes="gs-tools"):
                self.empty = gr.Button("Empty the trash", size="sm", elem_id="models-empty")
                self.empty_yes = gr.Button("Delete all permanently", variant="stop", size="sm", visible=False, elem_id="models-empty-yes")
                self.empty_no = gr.Button("Keep them", size="sm", visible=False)

    def build_undo(self) -> None:
        """The bar that offers Undo after a model was moved to the trash."""
        with gr.Row(visible=False, elem_id="models-undo-box", elem_classes="gs-undo") as self.undo_box:
            self.undo_note = gr.HTML("", padding=False, elem_id="models-undo-note")
            self.undo = gr.Button("Undo", size="sm", elem_id="models-undo")

    @property
    def outputs(self) -> list:
        """Components that the handlers may change."""
        return [self.box, self.entries, self.undo_box, self.undo_note]

    def wire(self) -> None:
        """Connect the events."""
        tab = self.tab
        tab.on(tab.details.remove.click, self._move_to_trash).success(**tab.then_scroll)
        tab.on(self.undo.click, self._undo)
        tab.on(self.entries.select, self._restore)
        buttons = [self.empty, self.empty_yes, self.empty_no]
        self.empty.click(lambda: self._asked(True), None, buttons, **QUIET)
        self.empty_no.click(lambda: self._asked(False), None, buttons, **QUIET)
        tab.on(self.empty_yes.click, self._empty).then(lambda: self._asked(False), None, buttons, **QUIET)

    def shown(self, session: Session) -> Outputs:
        """The entries as they are now; the section is hidden when there are none."""
        trashed = trash.list_trash(self.engine.library)
        self.tab.state_of(session).trashed = [t.id for t in trashed]
        size = bytes_in_words(sum(t.size for t in trashed))
        return {
            self.box: gr.update(label=f"Trash: {len(trashed)}, {size}", visible=bool(trashed)),
            self.entries: trash_html(trashed),
        }

    def _move_to_trash(self, session: Session, ability: str, find: str) -> Outputs:
        state, library, supervisor = self.tab.state_of(session), self.engine.library, self.tab.page.supervisor
        info = self.tab.details.selected(session)
        sentences = [*trash.dependants(library, info.id), *needing_model(supervisor.jobs() if supervisor else [], info.id)]
        state.undo = trash.move_to_trash(library, info.id).id
        self.engine.forget(info.id)
        listed = "".join(f"<li>{html.escape(s)}</li>" for s in sentences)
        text = note(f"<b>{html.escape(info.title)}</b> is in the trash." + (f"<ul>{listed}</ul>" if sentences else ""))
        return {**self.tab.enter(session, ability, find), self.undo_box: gr.update(visible=True), self.undo_note: text}

    def _undo(self, session: Session, ability: str, find: str) -> Outputs:
        return self._restored(session, self.tab.state_of(session).undo, ability, find)

    def _restore(self, session: Session, ability: str, find: str, event: gr.EventData) -> Outputs:
        return self._restored(session, pressed(event, self.tab.state_of(session).trashed), ability, find)

    def _restored(self, session: Session, entry: str, ability: str, find: str) -> Outputs:
        self.tab.state_of(session).model = trash.restore(self.engine.library, entry).id
        return {**self.tab.enter(session, ability, find), self.undo_box: gr.update(visible=False)}

    def _empty(self, session: Session, ability: str, find: str) -> Outputs:
        trash.empty_trash(self.engine.library, older_than_days=0)
        return {**self.tab.enter(session, ability, find), self.undo_box: gr.update(visible=False)}

    def _asked(self, asked: bool) -> Outputs:
        """Ask whether to empty the trash, or withdraw the question."""
        sure = gr.update(visible=asked)
        return {self.empty: gr.update(visible=not asked), self.empty_yes: sure, self.empty_no: sure}

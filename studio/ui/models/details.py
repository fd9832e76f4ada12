"""Details of one model on the Models tab: its facts and card, and buttons to open, export, duplicate, rename, unload or remove it."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.common.text import printable
from studio.errors import StudioError
from studio.models import manage
from studio.models.folder import ModelInfo
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.targets import Target
from studio.ui.components.work_progress import WorkProgress, bytes_in_words
from studio.ui.models.card_view import card_html
from studio.ui.models.view import about_html
from studio.ui.session import Session
from studio.ui.tabs import TABS

if TYPE_CHECKING:
    from studio.ui.models.tab import ModelsTab

_HINT = "<b>Press a model.</b><br>Its abilities, its source and the tabs that can use it appear here."
_BUILT_IN = "This model came with the studio and cannot be changed. Duplicate it to get a copy of your own."
_HIDDEN = gr.update(visible=False)


class ModelDetails:
    """The right column of the tab."""

    def __init__(self, tab: ModelsTab):
        self.tab, self.engine, self.editable = tab, tab.engine, tab.editable
        self.targets = tab.page.targets("model")
        self.hint = gr.HTML(empty_html(_HINT), padding=False, elem_id="models-hint")
        with gr.Column(visible=False, elem_id="models-details") as self.box:
            self._build()

    def _build(self) -> None:
        self.close = gr.Button("✕ Close", size="sm", elem_id="models-close")
        self.about = gr.HTML("", padding=False, elem_id="models-about")
        with gr.Row(elem_classes="gs-tools"):
            self.open_buttons = [
                gr.Button(f"Open in {TABS[t.id].title}", variant="primary", visible=False, elem_id=f"models-open-{t.id}")
                for t in self.targets
            ]
        with gr.Row(elem_classes="gs-tools"):
            self.export = gr.Button("Export as zip", elem_id="models-export")
            if self.editable:
                self.duplicate = gr.Button("Duplicate", elem_id="models-duplicate")
                self.unload = gr.Button("Unload from memory", visible=False, elem_id="models-forget")
                self.remove = gr.Button("Move to trash", visible=False, elem_id="models-delete")
        with gr.Row(elem_classes="gs-tools"):
            self.stop = gr.Button("Stop", visible=False, elem_id="models-stop")
        self.work_view = gr.HTML("", visible=False, padding=False, elem_id="models-work")
        self.zip = gr.DownloadButton("Download the zip", visible=False, elem_id="models-zip")
        if self.editable:
            with gr.Row(visible=False, elem_id="models-name-box", elem_classes="gs-field") as self.name_box:
                self.name = gr.Textbox("", label="Name", max_lines=1, max_length=120, elem_id="models-name")
                self.rename = gr.Button("Rename", elem_id="models-rename")
            self.fixed = gr.HTML(note(_BUILT_IN), visible=False, padding=False, elem_id="models-fixed")
        with gr.Accordion("Model card", open=True, visible=False, elem_id="models-card-box") as self.card_box:
            self.card = gr.HTML("", padding=False, elem_id="models-card")

    @property
    def outputs(self) -> list:
        """Components that `shown` may change."""
        parts = [self.hint, self.box, self.about, *self.open_buttons, self.work_view, self.zip, self.card_box, self.card]
        return [*parts, *([self.unload, self.remove, self.name_box, self.name, self.fixed] if self.editable else [])]

    def wire(self) -> None:
        """Connect the events."""
        tab = self.tab
        self.about.change(**tab.then_scroll)
        tab.on(self.close.click, self._close)
        for button, target in zip(self.open_buttons, self.targets, strict=True):
            button.click(friendly(self._opener(target)), tab.session, target.outputs_with(tab.page.tabs), **QUIET)
        # One pair of Stop and progress serves both kinds of work; each hides what the other left.
        work: dict[str, Any] = {"view": self.work_view, "hide": [self.zip], "stopped": "Stopped; nothing was saved."}
        tab.long_work("export", self.export, self.stop, self._export, [tab.session], [self.work_view, self.zip], **work)
        if self.editable:
            tab.long_work("duplicate", self.duplicate, self.stop, self._duplicate, tab.filter_inputs, tab.enter_outputs, **work)
            for trigger in (self.rename.click, self.name.submit):
                trigger(friendly(self._rename), [*tab.filter_inputs, self.name], tab.enter_outputs, **QUIET)
            tab.on(self.unload.click, self._unload)

    def shown(self, session: Session, models: Sequence[ModelInfo]) -> Outputs:
        """The details of the visitor's model, or a hint when none is selected."""
        state, library = self.tab.state_of(session), self.engine.library
        info = next((m for m in models if m.id == state.model), None)
        if info is None:
            state.model = ""
            return {self.hint: gr.update(visible=True), self.box: _HIDDEN, self.about: ""}
        card = card_html(info)
        shown = {
            self.hint: _HIDDEN,
            self.box: gr.update(visible=True),
            self.about: about_html(library, info),
            self.work_view: _HIDDEN,
            self.zip: _HIDDEN,
            self.card: card,
            self.card_box: gr.update(visible=bool(card)),
            **{b: gr.update(visible=t.suits(info)) for b, t in zip(self.open_buttons, self.targets, strict=True)},
        }
        if self.editable:
            own = manage.is_own(library, info)
            shown |= {
                self.unload: gr.update(visible=info.id in self.engine.status()["loaded"]),
                self.remove: gr.update(visible=own),
                self.name_box: gr.update(visible=own),
                self.name: printable(info.title),
                self.fixed: gr.update(visible=not own and bool(info.hash)),
            }
        return shown

    def selected(self, session: Session) -> ModelInfo:
        """The model whose details are open; a bundled one is added to the library. Raises StudioError when none is selected."""
        model = self.tab.state_of(session).model
        if not model:
            raise StudioError("No model is selected.", "Press one first.")
        return self.engine.library.get(model)

    def _close(self, session: Session, ability: str, find: str) -> Outputs:
        self.tab.state_of(session).model = ""
        return self.tab.enter(session, ability, find)

    def _opener(self, target: Target) -> Callable[[Session], Outputs]:
        opened = target.open_there(self.tab.page.tabs)

        def open_model(session: Session) -> Outputs:
            return opened(session, self.selected(session))

        return open_model

    def _export(self, session: Session, progress: gr.Progress = gr.Progress()) -> Outputs:
        info, bar = self.selected(session), WorkProgress(progress)
        # The name of the file cannot be guessed, because anyone who knows it may download it.
        stamp = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(6)}"
        path = session.workspace.output("models", f"{info.id}-{stamp}.zip")
        manage.export_zip(info, path, lambda done, total: bar.transfer("Packing", done, total), self.tab.stopping(session, "export"))
        label = f"Download {info.id}.zip ({bytes_in_words(path.stat().st_size)})"
        return {
            self.work_view: gr.update(value=note(session.workspace.saved_note(path)), visible=True),
            self.zip: gr.update(value=str(path), label=label, visible=True),
        }

    def _duplicate(self, session: Session, ability: str, find: str, progress: gr.Progress = gr.Progress()) -> Outputs:
        bar, stopping = WorkProgress(progress), self.tab.stopping(session, "duplicate")
        library, model = self.engine.library, self.selected(session).id
        copy = manage.duplicate(library, model, None, lambda done, total: bar.transfer("Copying", done, total), stopping)
        self.tab.state_of(session).model = copy.id
        return self.tab.enter(session, ability, find)

    def _rename(self, session: Session, ability: str, find: str, title: str) -> Outputs:
        manage.rename(self.engine.library, self.selected(session).id, title)
        return self.tab.enter(session, ability, find)

    def _unload(self, session: Session, ability: str, find: str) -> Outputs:
        self.engine.forget(self.selected(session).id)
        return self.tab.enter(session, ability, find)

"""Section of Share that uploads a model to the Hub of Hugging Face."""

import re
from typing import Any

import gradio as gr

from studio.models.folder import safe_name
from studio.models.library import Library
from studio.sharing import hub
from studio.sharing.hub_card import hub_card
from studio.ui.components.handlers import LIVE, QUIET, Outputs, friendly
from studio.ui.components.press_grid import press_grid, pressed_index
from studio.ui.components.tab import Tab
from studio.ui.session import Session
from studio.ui.share.account_section import AccountSection
from studio.ui.share.state import ShareState
from studio.ui.share.view import (
    CANCELLED,
    LICENCES,
    PRIVATE,
    PUBLIC,
    UPLOAD,
    WHO,
    consent_update,
    grid_html,
    link_html,
    model_of,
    shareable,
    upload_progress,
)


class HubSection:
    """A model and where it goes, built inside the current Blocks.  account: of the visitor."""

    def __init__(self, library: Library, account: AccountSection):
        self.library, self.account = library, account
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self.models = press_grid(elem_id="share-chosen")
            with gr.Column(scale=6, min_width=300):
                self._build_settings()

    def _build_settings(self) -> None:
        self.name = gr.Textbox(
            label="Its name on the Hub",
            max_lines=1,
            placeholder="name, or user/name",
            elem_id="share-name",
            info="A name alone goes into your own account. If you have a model of this name, it gets a new version.",
        )
        self.licence = gr.Dropdown(
            LICENCES,
            label="Licence",
            allow_custom_value=True,
            elem_id="share-licence",
            info="What others may do with it. Choose one, or type its name.",
        )
        self.who = gr.Radio(WHO, value=PRIVATE, label="Who can see it", elem_id="share-who")
        self.consent = gr.HTML("", visible=False, padding=False, elem_id="share-consent")
        self.push = gr.Button("Upload to the Hub", variant="primary", elem_id="share-push")
        self.stop = gr.Button("Cancel", visible=False, elem_id="share-stop")
        self.view = gr.HTML("", visible=False, padding=False, elem_id="share-told")
        with gr.Accordion("Model card: what the Hub will say about it", open=False, elem_id="share-card-part"):
            self.card = gr.Markdown("", elem_id="share-card")

    @property
    def outputs(self) -> list[Any]:
        """Components that another model changes."""
        return [self.models, self.name, self.licence, self.who, self.consent]

    def wire(self, tab: Tab[ShareState]) -> None:
        """Connect the controls."""
        s, written = tab.session, [tab.session, self.name, self.licence]

        def choose(session: Session, event: gr.EventData) -> Outputs:
            found = shareable(self.library)
            index = pressed_index(event, len(found))
            if index is None:
                return {}
            tab.state_of(session).model = found[index].id
            return self._show(tab.state_of(session))

        def show_card(session: Session, name: str | None, licence: str | None) -> Outputs:
            return {self.card: self._card(tab.state_of(session), name, licence)}

        def show_consent(session: Session, who: str, licence: str | None) -> Outputs:
            return {self.consent: consent_update([model_of(self.library, tab.state_of(session).model)], who, licence)}

        def push(session: Session, typed: str, name: str, licence: str | None, who: str, progress: gr.Progress = gr.Progress()) -> Outputs:
            state = tab.state_of(session)
            info = model_of(self.library, state.model)
            url = hub.push_model(
                info,
                name or "",
                token=self.account.token_of(state, typed),
                private=who != PUBLIC,
                licence=licence or "",
                progress=upload_progress(progress),
                cancel=tab.stopping(session, "hub"),
            )
            done = gr.update(value=link_html(f"{info.title} is on the Hub", url), visible=True)
            return {self.view: done, **self.account.log_in(state, typed)}

        self.models.select(friendly(choose), s, self.outputs, **QUIET).then(friendly(show_card), written, self.card, **QUIET)
        gr.on([self.name.change, self.licence.change], friendly(show_card), written, self.card, **LIVE)
        gr.on([self.who.change, self.licence.change], friendly(show_consent), [s, self.who, self.licence], self.consent, **QUIET)
        inputs = [s, self.account.token, self.name, self.licence, self.who]
        outputs = [self.view, *self.account.outputs]
        done = tab.long_work("hub", self.push, self.stop, push, inputs, outputs, view=self.view, stopped=CANCELLED, wiring=UPLOAD)
        self.account.clear_after(done)

    @property
    def enter_outputs(self) -> list[Any]:
        """Components that `enter` may change."""
        return [*self.outputs, self.card]

    def enter(self, state: ShareState) -> Outputs:
        """The models there are now, and the one chosen before."""
        found = shareable(self.library)
        if state.model in [m.id for m in found]:
            return {self.models: self._cells(state)}
        info = found[0]
        state.model = info.id
        return {**self._show(state), self.card: self._card(state, safe_name(info.id), info.licence)}

    def _show(self, state: ShareState) -> Outputs:
        """The chosen model; private again."""
        info = model_of(self.library, state.model)
        return {
            self.models: self._cells(state),
            self.name: safe_name(info.id),
            self.licence: info.licence or None,
            self.who: PRIVATE,
            self.consent: gr.update(value="", visible=False),
        }

    def _cells(self, state: ShareState) -> str:
        found = shareable(self.library)
        return grid_html(found, next((i for i, m in enumerate(found) if m.id == state.model), None))

    def _card(self, state: ShareState, name: str | None, licence: str | None) -> str:
        info = model_of(self.library, state.model)
        wanted = (licence or "").strip()
        wanted = wanted if re.search("[A-Za-z0-9]", wanted) else "not chosen yet"
        _, head, body = hub_card(info, (name or "").strip() or "user/name", wanted).split("---\n", 2)
        return f"```yaml\n{head}```\n{body}"

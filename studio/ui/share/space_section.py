"""Section of Share that makes a Space: chosen models and tabs, previewed here, uploaded to the Hub or packed as a zip."""

from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.models.folder import ModelInfo, safe_name
from studio.models.library import Library
from studio.settings import get_settings
from studio.sharing import hub
from studio.sharing.preview import preview
from studio.sharing.space import HARDWARE, make_space, push_space, zip_space
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
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
from studio.ui.tabs import TABS, tabs_for

_NOT_OFFERED = ("train", "share")  # training has a checkbox of its own; strangers share nothing
_ABOUT = (
    "A Space is a web page with a studio of its own, where people can play with your models without installing anything. "
    "Press the models to include."
)


class SpaceSection:
    """A Space, built inside the current Blocks.  account: of the visitor."""

    def __init__(self, library: Library, account: AccountSection):
        self.library, self.account = library, account
        gr.HTML(note(_ABOUT), padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self.models = press_grid(elem_id="space-chosen")
                choices = [(entry.title, id) for id, entry in TABS.items() if id not in _NOT_OFFERED]
                self.tabs = gr.CheckboxGroup(choices, label="What people can do there", elem_id="space-tabs")
            with gr.Column(scale=6, min_width=300):
                self._build_settings()

    def _build_settings(self) -> None:
        self.title = gr.Textbox(label="Title", max_lines=1, max_length=80, placeholder="My studio", elem_id="space-title")
        self.licence = gr.Dropdown(LICENCES, label="Licence", allow_custom_value=True, elem_id="space-licence")
        self.who = gr.Radio(WHO, value=PRIVATE, label="Who can see it", elem_id="space-who")
        self.consent = gr.HTML("", visible=False, padding=False, elem_id="space-consent")
        with gr.Row(elem_classes="gs-tools"):
            self.show_preview = gr.Button("Preview it here", elem_id="space-look")
            self.zip = gr.Button("Pack it as a zip", elem_id="space-zip")
        self.seen = gr.HTML("", visible=False, padding=False, elem_id="space-seen")
        self.close = gr.Button("Close the preview", visible=False, elem_id="space-close")
        self.download = gr.DownloadButton("Download it (zip)", visible=False, elem_id="space-download")
        self.name = gr.Textbox(
            label="Its name on the Hub",
            max_lines=1,
            placeholder="name, or user/name",
            elem_id="space-name",
            info="Empty: made from the title.",
        )
        self.push = gr.Button("Upload to the Hub", variant="primary", elem_id="space-push")
        self.stop = gr.Button("Cancel", visible=False, elem_id="space-stop")
        self.view = gr.HTML("", visible=False, padding=False, elem_id="space-told")
        with gr.Accordion("Advanced", open=False):
            self.hardware = gr.Dropdown(
                [(words, id) for id, words in HARDWARE.items()],
                value="",
                label="Hardware: the computer it runs on",
                elem_id="space-hardware",
                info="ZeroGPU needs a PRO account; paid hardware is billed by the hour.",
            )
            self.training = gr.Checkbox(
                False,
                label="Models can be trained there",
                elem_id="space-training",
                info="Needs a graphics card on the Space, and its secret STUDIO_TRAINING set to 1.",
            )

    def wire(self, tab: Tab[ShareState]) -> None:
        """Connect the controls."""
        s, settings = tab.session, [self.tabs, self.title, self.licence, self.training]

        def choose(session: Session, event: gr.EventData) -> Outputs:
            return self._choose(tab.state_of(session), event)

        def show_consent(session: Session, who: str, licence: str | None) -> Outputs:
            return {self.consent: consent_update(self._chosen(tab.state_of(session)), who, licence)}

        def open_preview(session: Session, *values: Any, progress: gr.Progress = gr.Progress()) -> Outputs:
            return self._open_preview(tab.state_of(session), values, progress)

        def close(session: Session) -> Outputs:
            tab.state_of(session).close_preview()
            return {self.seen: gr.update(value="", visible=False), self.close: gr.update(visible=False)}

        def make_zip(session: Session, *values: Any) -> Outputs:
            folder = self._make(tab.state_of(session), *values)
            path = zip_space(folder, get_settings().outputs / "spaces" / f"{folder.name}.zip")
            return {self.download: gr.update(value=str(path), visible=True)}

        self.models.select(friendly(choose), s, self.outputs, **QUIET)
        gr.on([self.who.change, self.licence.change], friendly(show_consent), [s, self.who, self.licence], self.consent, **QUIET)
        shown = [self.seen, self.close]
        waiting = note("Starting; this takes up to a minute ...")
        self.show_preview.click(lambda: gr.update(value=waiting, visible=True), None, self.seen, **QUIET).then(
            friendly(open_preview), [s, *settings], shown, show_progress_on=self.seen, **UPLOAD
        ).failure(lambda: [gr.update(visible=False)] * 2, None, shown, **QUIET)
        self.close.click(friendly(close), s, shown, **QUIET)
        self.zip.click(friendly(make_zip), [s, *settings], self.download, show_progress_on=self.download, **UPLOAD)
        self._wire_push(tab, settings)

    def _wire_push(self, tab: Tab[ShareState], settings: list[Any]) -> None:
        def push(
            session: Session, typed: str, name: str, who: str, hardware: str, *values: Any, progress: gr.Progress = gr.Progress()
        ) -> Outputs:
            state = tab.state_of(session)
            if who == PUBLIC:
                for info in self._chosen(state):
                    hub.ensure_public(info, "")  # `make_space` checks the licence
            folder = self._make(state, *values)
            url = push_space(
                folder,
                (name or "").strip() or folder.name,
                token=self.account.token_of(state, typed),
                private=who != PUBLIC,
                hardware=hardware or None,
                progress=upload_progress(progress),
                cancel=tab.stopping(session, "space"),
            )
            words = link_html("Your Space is on the Hub", url) + note("It is being built there, which takes a few minutes.")
            return {self.view: gr.update(value=words, visible=True), **self.account.log_in(state, typed)}

        inputs = [tab.session, self.account.token, self.name, self.who, self.hardware, *settings]
        outputs = [self.view, *self.account.outputs]
        done = tab.long_work("space", self.push, self.stop, push, inputs, outputs, view=self.view, stopped=CANCELLED, wiring=UPLOAD)
        self.account.clear_after(done)

    # -- choosing ------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> list[Any]:
        """Components that `show` changes."""
        return [self.models, self.tabs, self.licence, self.who, self.consent]

    def show(self, state: ShareState) -> Outputs:
        """The chosen models, and the tabs that can do something with them; private again."""
        found = shareable(self.library)
        state.chosen = [m.id for m in found if m.id in state.chosen] or [found[0].id]
        chosen = [m for m in found if m.id in state.chosen]
        licences = list(dict.fromkeys(m.licence for m in chosen if m.licence))
        return {
            self.models: grid_html(found, {i for i, m in enumerate(found) if m.id in state.chosen}),
            self.tabs: list(tabs_for(chosen)),
            self.licence: " and ".join(licences) or None,
            self.who: PRIVATE,
            self.consent: gr.update(value="", visible=False),
        }

    def _choose(self, state: ShareState, event: gr.EventData) -> Outputs:
        found = shareable(self.library)
        index = pressed_index(event, len(found))
        if index is None:
            return {}
        id = found[index].id
        without = [c for c in state.chosen if c != id]
        state.chosen = without if id in state.chosen and without else [*without, id]
        return self.show(state)

    def _chosen(self, state: ShareState) -> list[ModelInfo]:
        return [model_of(self.library, id) for id in dict.fromkeys(state.chosen)]

    # -- making --------------------------------------------------------------------------------------------------

    def _make(self, state: ShareState, tabs: list[str], title: str, licence: str | None, training: bool) -> Path:
        if not tabs and not training:
            raise StudioError("There would be nothing for people to do there.", "Tick at least one thing they can do.")
        title = (title or "").strip() or "My studio"
        folder = get_settings().cache / "spaces" / safe_name(title)
        return make_space(self._chosen(state), folder, tabs=tabs, title=title, training=training, licence=licence or "")

    def _open_preview(self, state: ShareState, settings: tuple[Any, ...], progress: gr.Progress) -> Outputs:
        state.close_preview()
        progress(0.1, desc="Making it")
        folder = self._make(state, *settings)
        progress(0.3, desc="Starting it")
        running = preview(folder)
        state.open_preview(running)
        words = link_html("It runs on this computer", running.url) + note("Nobody else can see it. Close it when you are done.")
        return {self.seen: gr.update(value=words, visible=True), self.close: gr.update(visible=True)}

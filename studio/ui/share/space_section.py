"""The part of Share that makes a Space: chosen models and tabs, looked at here, on the Hub or as a zip."""

import atexit
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from studio.errors import StudioError
from studio.models.folder import ModelInfo, safe_name
from studio.settings import get_settings
from studio.sharing import hub
from studio.sharing.preview import preview
from studio.sharing.space import HARDWARE, make_space, push_space, zip_space
from studio.ui.components.handlers import QUIET, friendly
from studio.ui.components.notes import note
from studio.ui.components.press_grid import press_grid
from studio.ui.session import Session
from studio.ui.share.view import CANCELLED, LICENCES, PRIVATE, PUBLIC, WHO, ShareVisit, grid_html, link_html, sending, told_consent
from studio.ui.tabs import TABS, tabs_for

if TYPE_CHECKING:
    from studio.ui.share.tab import ShareTab

_NOT_OFFERED = ("train", "share")  # training has a box of its own; strangers share nothing
_ABOUT = (
    "A Space is a web page with a studio of its own, for people to play with your models; nothing needs to be installed. "
    "Press the models that it shall have."
)


class SpaceSection:
    """Builds the section inside the current Blocks and wires it.  page: the one that it is part of."""

    def __init__(self, page: "ShareTab"):
        self.page, self.session = page, page.session
        self._build()
        self._wire()

    def _build(self) -> None:
        gr.HTML(note(_ABOUT), padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self.models = press_grid(elem_id="space-chosen")
                choices = [(entry.title, id) for id, entry in TABS.items() if id not in _NOT_OFFERED]
                self.tabs = gr.CheckboxGroup(choices, label="What people can do there", elem_id="space-tabs")
            with gr.Column(scale=6, min_width=300):
                self.title = gr.Textbox(label="Title", max_lines=1, max_length=80, placeholder="My studio", elem_id="space-title")
                self.licence = gr.Dropdown(LICENCES, label="Licence", allow_custom_value=True, elem_id="space-licence")
                self.who = gr.Radio(WHO, value=PRIVATE, label="Who may see it", elem_id="space-who")
                self.consent = gr.HTML("", visible=False, padding=False, elem_id="space-consent")
                with gr.Row(elem_classes="gs-tools"):
                    self.look = gr.Button("Look at it here first", elem_id="space-look")
                    self.zip = gr.Button("Make a zip of it", elem_id="space-zip")
                self.seen = gr.HTML("", visible=False, padding=False, elem_id="space-seen")
                self.close = gr.Button("Close it", visible=False, elem_id="space-close")
                self.download = gr.DownloadButton("Download it (zip)", visible=False, elem_id="space-download")
                self.name = gr.Textbox(
                    label="Its name on the Hub",
                    max_lines=1,
                    placeholder="name, or user/name",
                    elem_id="space-name",
                    info="Empty: made from the title.",
                )
                self.push = gr.Button("Put it on the Hub", variant="primary", elem_id="space-push")
                self.stop = gr.Button("Cancel", visible=False, elem_id="space-stop")
                self.told = gr.HTML("", visible=False, padding=False, elem_id="space-told")
                with gr.Accordion("Advanced", open=False):
                    self.hardware = gr.Dropdown(
                        [(words, id) for id, words in HARDWARE.items()],
                        value="",
                        label="On which computer",
                        elem_id="space-hardware",
                        info="ZeroGPU wants a PRO account, the others are paid by the hour.",
                    )
                    self.training = gr.Checkbox(
                        False,
                        label="Models can be trained there",
                        elem_id="space-training",
                        info="Only with a graphics card of its own, once you set the Space's secret STUDIO_TRAINING to 1.",
                    )

    def _wire(self) -> None:
        s = self.session
        settings = [self.tabs, self.title, self.licence, self.training]
        self.models.select(friendly(self._press), s, self.chosen_outputs, **QUIET)
        self.who.change(friendly(self._may), [s, self.who], self.consent, **QUIET)
        slow = dict(show_progress="full", api_visibility="private", concurrency_limit=None)
        shown = [self.seen, self.close]
        self.look.click(
            lambda: gr.update(value=note("It starts; that takes up to a minute ..."), visible=True), None, self.seen, **QUIET
        ).then(friendly(self._look), [s, *settings], shown, show_progress_on=self.seen, **slow).failure(
            lambda: [gr.update(visible=False)] * 2, None, shown, **QUIET
        )
        self.close.click(friendly(self._close), s, shown, **QUIET)
        self.zip.click(friendly(self._zip), [s, *settings], self.download, show_progress_on=self.download, **slow)
        self.page.long_work(
            self.push,
            self.stop,
            self.told,
            self._push,
            [s, self.page.token, self.name, self.who, self.hardware, *settings],
            [self.told, self.page.account, self.page.away],
        )

    @property
    def chosen_outputs(self) -> list:
        """What choosing models changes, for `show`."""
        return [self.models, self.tabs, self.licence, self.who, self.consent]

    # -- choosing ------------------------------------------------------------------------------------------------

    def show(self, visit: ShareVisit) -> list:
        """The chosen models, and what can be done with them; private again."""
        found = self.page.found()
        visit.chosen = [m.id for m in found if m.id in visit.chosen] or [found[0].id]
        chosen = [m for m in found if m.id in visit.chosen]
        licences = list(dict.fromkeys(m.licence for m in chosen if m.licence))
        grid = grid_html(found, {i for i, m in enumerate(found) if m.id in visit.chosen})
        return [grid, list(tabs_for(chosen)), " and ".join(licences) or None, PRIVATE, gr.update(value="", visible=False)]

    def _press(self, session: Session, event: gr.EventData) -> list:
        visit, found, i = self.page.visit(session), self.page.found(), event._data.get("index")
        if not isinstance(i, int) or not 0 <= i < len(found):
            return [gr.skip()] * len(self.chosen_outputs)
        id = found[i].id
        visit.chosen = [c for c in visit.chosen if c != id] if id in visit.chosen and len(visit.chosen) > 1 else [*visit.chosen, id]
        return self.show(visit)

    def _infos(self, visit: ShareVisit) -> list[ModelInfo]:
        return [self.page.info(id) for id in dict.fromkeys(visit.chosen)]

    def _may(self, session: Session, who: str) -> dict:
        return told_consent(self._infos(self.page.visit(session)), who)

    # -- making --------------------------------------------------------------------------------------------------

    def _make(self, session: Session, tabs: list[str], title: str, licence: str | None, training: bool) -> Path:
        if not tabs and not training:
            raise StudioError("People could do nothing there.", "Tick what they can do.")
        title = (title or "").strip() or "My studio"
        folder = get_settings().cache / "spaces" / safe_name(title)
        infos = self._infos(self.page.visit(session))
        return make_space(infos, folder, tabs=tabs, title=title, training=training, licence=licence or "")

    def _look(self, session: Session, *settings, progress: gr.Progress = gr.Progress()) -> list:
        visit = self.page.visit(session)
        self.end(visit)
        progress(0.1, desc="Making it")
        folder = self._make(session, *settings)
        progress(0.3, desc="Starting it")
        visit.preview = preview(folder)
        atexit.register(visit.preview.close)
        words = link_html("It runs on this computer", visit.preview.url) + note(
            "Nobody else can see it. Close it when you have seen enough."
        )
        return [gr.update(value=words, visible=True), gr.update(visible=True)]

    def _close(self, session: Session) -> list:
        self.end(self.page.visit(session))
        return [gr.update(value="", visible=False), gr.update(visible=False)]

    def end(self, visit: ShareVisit) -> None:
        """Stop the Space that runs here, when there is one."""
        if visit.preview is not None:
            visit.preview.close()
            atexit.unregister(visit.preview.close)
            visit.preview = None

    def _zip(self, session: Session, *settings) -> dict:
        folder = self._make(session, *settings)
        path = zip_space(folder, get_settings().outputs / "spaces" / f"{folder.name}.zip")
        return gr.update(value=str(path), visible=True)

    def _push(
        self, session: Session, typed: str, name: str, who: str, hardware: str, *settings, progress: gr.Progress = gr.Progress()
    ) -> list:
        visit = self.page.visit(session)
        stop = visit.stop
        if who == PUBLIC:
            for info in self._infos(visit):
                hub.ensure_public(info)
        folder = self._make(session, *settings)
        try:
            url = push_space(
                folder,
                (name or "").strip() or folder.name,
                token=self.page.token_of(visit, typed),
                private=who != PUBLIC,
                hardware=hardware or None,
                progress=sending(progress),
                cancel=stop.is_set,
            )
        except CancelledError:
            return [gr.update(value=note(CANCELLED)), gr.skip(), gr.skip()]
        words = link_html("Your Space is on the Hub", url) + note("It is built there now, which takes some minutes.")
        return [gr.update(value=words, visible=True), *self.page.as_whom(visit, typed)]

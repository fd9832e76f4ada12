"""Share: a model to the Hub of Hugging Face, and a Space in one click."""

import html
import re
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError

import gradio as gr

from studio.engine.engine import Engine
from studio.errors import StudioError
from studio.models.folder import ModelInfo, safe_name
from studio.sharing import hub
from studio.sharing.hub_card import hub_card
from studio.ui.components.handlers import LIVE, QUIET, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.press_grid import press_grid
from studio.ui.session import Session
from studio.ui.share.provenance_section import MarksPage
from studio.ui.share.space_section import SpaceSection
from studio.ui.share.view import CANCELLED, LICENCES, PRIVATE, PUBLIC, WHO, ShareVisit, grid_html, link_html, sending, told_consent

_NOTHING = "<b>There is no model here yet that could be shared.</b><br>Train one in the Train tab, or import one."
_KNOWN = "This computer is logged in to the Hub already: the box may stay empty."
_UNKNOWN = (
    'The Hub is <a href="https://huggingface.co" target="_blank" rel="noopener">huggingface.co</a>. A token is a password for programs: '
    'make one that may write on its page <a href="https://huggingface.co/settings/tokens" target="_blank" rel="noopener">Access Tokens</a> and '
    "paste it here. It is kept in memory alone, until you close the page."
)


class ShareTab:
    """Builds the page inside the current Blocks and wires it."""

    def __init__(self, engine: Engine, session: gr.State):
        self.engine, self.session = engine, session
        self._visits: dict[str, ShareVisit] = {}
        self._build()
        self._wire()

    def visit(self, session: Session | None) -> ShareVisit:
        """What this visitor does here. Raises StudioError while the page is opening."""
        if session is None:
            raise StudioError("The page is still opening.", "Try again in a moment.")
        return self._visits.setdefault(session.id, ShareVisit())

    def forget(self, session: Session) -> None:
        """The visitor has left: nothing of theirs is sent on, and no Space of theirs runs."""
        visit = self._visits.pop(session.id, None)
        if visit is not None:
            visit.stop.set()
            self.space.end(visit)

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.nothing = gr.HTML(empty_html(_NOTHING), visible=False, padding=False, elem_id="share-nothing")
        with gr.Column(elem_id="share-page") as self.body:
            with gr.Row(equal_height=False, elem_id="share-account"):
                with gr.Column(scale=5, min_width=300):
                    self.token = gr.Textbox(type="password", label="Your token of the Hub", max_lines=1, elem_id="share-token")
                    with gr.Row(elem_classes="gs-tools"):
                        self.use = gr.Button("Whose is it?", elem_id="share-use")
                        self.away = gr.Button("Forget it", visible=False, elem_id="share-forget")
                with gr.Column(scale=6, min_width=300):
                    self.account = gr.HTML(note(_UNKNOWN), padding=False, elem_id="share-as")
            with gr.Accordion("A model to the Hub", elem_id="share-hub"):
                self._build_hub()
            with gr.Accordion("A Space in one click", open=False, elem_id="share-space"):
                self.space = SpaceSection(self)
        with gr.Accordion("What saved files tell", elem_id="share-marks"):
            self.marks = MarksPage(self.session)

    def _build_hub(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self.models = press_grid(elem_id="share-chosen")
            with gr.Column(scale=6, min_width=300):
                self.name = gr.Textbox(
                    label="Its name on the Hub",
                    max_lines=1,
                    placeholder="name, or user/name",
                    elem_id="share-name",
                    info="A name alone is one of your own account. Your model of this name gets a new version.",
                )
                self.licence = gr.Dropdown(
                    LICENCES,
                    label="Licence",
                    allow_custom_value=True,
                    elem_id="share-licence",
                    info="What others may do with it. Choose one, or write its name.",
                )
                self.who = gr.Radio(WHO, value=PRIVATE, label="Who may see it", elem_id="share-who")
                self.consent = gr.HTML("", visible=False, padding=False, elem_id="share-consent")
                self.push = gr.Button("Put it on the Hub", variant="primary", elem_id="share-push")
                self.stop = gr.Button("Cancel", visible=False, elem_id="share-stop")
                self.told = gr.HTML("", visible=False, padding=False, elem_id="share-told")
                with gr.Accordion("Its card: what the Hub will say about it", open=False, elem_id="share-card-part"):
                    self.card = gr.Markdown("", elem_id="share-card")

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s = self.session
        about = [s, self.name, self.licence]
        self._empty_after(self.use.click(friendly(self._who_is_it), [s, self.token], [self.account, self.away], **QUIET))
        self.away.click(friendly(self._forget), s, [self.account, self.away], **QUIET)
        self.models.select(friendly(self._choose), s, self._chosen, **QUIET).then(friendly(self._card), about, self.card, **QUIET)
        gr.on([self.name.change, self.licence.change], friendly(self._card), about, self.card, **LIVE)
        self.who.change(friendly(self._may), [s, self.who], self.consent, **QUIET)
        self.long_work(
            self.push,
            self.stop,
            self.told,
            self._push,
            [s, self.token, self.name, self.licence, self.who],
            [self.told, self.account, self.away],
        )

    def long_work(self, button: gr.Button, stop: gr.Button, view: gr.HTML, run: Callable, inputs: list, outputs: list) -> None:
        """A button that begins to send something, with progress on `view`, and one that ends it. The token's box is emptied."""

        def begin(session: Session) -> list:
            visit = self.visit(session)
            visit.stop.set()  # an older one ends
            visit.stop = threading.Event()
            return [gr.update(visible=True), gr.update(value=note("Beginning ..."), visible=True)]

        work = button.click(friendly(begin), self.session, [stop, view], **QUIET).then(
            friendly(run), inputs, outputs, show_progress="full", show_progress_on=view, api_visibility="private", concurrency_limit=None
        )
        work.failure(lambda: [gr.update(visible=False), gr.update(value="", visible=False)], None, [stop, view], **QUIET)
        work.success(lambda: gr.update(visible=False), None, stop, **QUIET)
        self._empty_after(work)
        stop.click(lambda session: self.visit(session).stop.set(), self.session, None, **QUIET)

    def _empty_after(self, event) -> None:
        """What was typed into the token's box goes, whether it was of use or not."""
        for after in (event.success, event.failure):
            after(lambda: "", None, self.token, **QUIET)

    # -- opening -------------------------------------------------------------------------------------------------

    enter_inputs: list = []

    @property
    def enter_outputs(self) -> list:
        """Outputs of `enter`."""
        return [self.nothing, self.body, self.account, *self._chosen, self.card, *self.space.chosen_outputs]

    @property
    def _chosen(self) -> list:
        """What choosing a model for the Hub changes."""
        return [self.models, self.name, self.licence, self.who, self.consent]

    def enter(self, session: Session) -> list:
        """When the tab is opened: the models there are now, and the one of before."""
        visit, found = self.visit(session), self.found()
        if not found:
            return [gr.update(visible=True), gr.update(visible=False), *[gr.skip()] * (len(self.enter_outputs) - 2)]
        known = hub.known_token() is not None
        account = gr.skip() if visit.token else note(_KNOWN if known else _UNKNOWN)
        ids = [m.id for m in found]
        chosen = [gr.update(value=self._cells(visit))] + [gr.skip()] * (len(self._chosen) - 1)
        card = gr.skip()
        if visit.model not in ids:
            visit.model = ids[0]
            info, chosen = found[0], self._show(session)
            card = self._card(session, safe_name(info.id), info.licence)
        return [gr.update(visible=False), gr.update(visible=True), account, *chosen, card, *self.space.show(visit)]

    def found(self) -> list[ModelInfo]:
        """The models that can be given away: those that are folders already."""
        return [m for m in self.engine.library.scan()[0] if m.hash]

    def info(self, id: str | None) -> ModelInfo:
        """A chosen model as it is now. Raises StudioError when none is chosen or it is gone."""
        if not id:
            raise StudioError("No model is chosen.", "Choose one first.")
        return self.engine.library.get(id)

    # -- one's account -------------------------------------------------------------------------------------------

    def token_of(self, visit: ShareVisit, typed: str | None) -> str | None:
        """The token to be used: what was just typed, what was typed before, or (None) what this computer knows."""
        return (typed or "").strip() or visit.token

    def as_whom(self, visit: ShareVisit, typed: str | None) -> list:
        """Keep a token that was accepted in memory; for [account, away]."""
        who = hub.whoami(self.token_of(visit, typed))
        visit.token = self.token_of(visit, typed)
        groups = f", in {', '.join(map(html.escape, who.groups))}" if who.groups else ""
        return [note(f"You are <b>{html.escape(who.name)}</b> on the Hub{groups}."), gr.update(visible=bool(visit.token))]

    def _who_is_it(self, session: Session, typed: str) -> list:
        return self.as_whom(self.visit(session), typed)

    def _forget(self, session: Session) -> list:
        self.visit(session).token = None
        return [note(_KNOWN if hub.known_token() else _UNKNOWN), gr.update(visible=False)]

    # -- a model to the Hub --------------------------------------------------------------------------------------

    def _cells(self, visit: ShareVisit) -> str:
        found = self.found()
        return grid_html(found, next((i for i, m in enumerate(found) if m.id == visit.model), None))

    def _choose(self, session: Session, event: gr.EventData) -> list:
        found, i = self.found(), event._data.get("index")
        if not isinstance(i, int) or not 0 <= i < len(found):
            return [gr.skip()] * len(self._chosen)
        self.visit(session).model = found[i].id
        return self._show(session)

    def _show(self, session: Session) -> list:
        """The chosen model, for `_chosen`: private again."""
        visit = self.visit(session)
        info = self.info(visit.model)
        return [self._cells(visit), safe_name(info.id), info.licence or None, PRIVATE, gr.update(value="", visible=False)]

    def _card(self, session: Session, name: str | None, licence: str | None) -> str:
        info = self.info(self.visit(session).model)
        wanted = (licence or "").strip()
        wanted = wanted if re.search("[A-Za-z0-9]", wanted) else "not chosen yet"
        _, head, body = hub_card(info, (name or "").strip() or "user/name", wanted).split("---\n", 2)
        return f"```yaml\n{head}```\n{body}"

    def _may(self, session: Session, who: str) -> dict:
        return told_consent([self.info(self.visit(session).model)], who)

    def _push(self, session: Session, typed: str, name: str, licence: str | None, who: str, progress: gr.Progress = gr.Progress()) -> list:
        visit = self.visit(session)
        info, stop = self.info(visit.model), visit.stop
        try:
            url = hub.push_model(
                info,
                name or "",
                token=self.token_of(visit, typed),
                private=who != PUBLIC,
                licence=licence or "",
                progress=sending(progress),
                cancel=stop.is_set,
            )
        except CancelledError:
            return [gr.update(value=note(CANCELLED)), gr.skip(), gr.skip()]
        return [gr.update(value=link_html(f"{info.title} is on the Hub", url), visible=True), *self.as_whom(visit, typed)]

"""The Models tab: the models in the studio, what each can do and where it can be used, and ways to add, change and remove them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from studio.models.folder import ModelInfo
from studio.models.library import Broken
from studio.ui.components.handlers import LIVE, QUIET, Outputs, friendly
from studio.ui.components.press_grid import press_grid, pressed
from studio.ui.components.tab import Page, Tab, TabState
from studio.ui.models.add_model import AddModel, AddState
from studio.ui.models.details import ModelDetails
from studio.ui.models.trash import TrashSection
from studio.ui.models.view import ABILITIES, EVERYTHING, broken_html, cards_html, matching
from studio.ui.session import Session

_TO_DETAILS_JS = """() => requestAnimationFrame(() => {
  if (matchMedia('(max-width: 640px)').matches) document.querySelector('#models-right')?.scrollIntoView({ block: 'start' });
})"""


@dataclass
class ModelsState(TabState):
    """What one visitor does on the Models tab.

    model: id of the one whose details are open.  listed, trashed: ids of the models on the page and of the entries of the trash, in
    their order.  undo: entry of the trash that Undo restores.  adding: the model that is being added.
    """

    model: str = ""
    listed: list[str] = field(default_factory=list)
    trashed: list[str] = field(default_factory=list)
    undo: str = ""
    adding: AddState = field(default_factory=AddState)

    def close(self) -> None:
        """Cancel what is being added."""
        self.adding.stop.set()


class ModelsTab(Tab[ModelsState]):
    """The page of all models. Where the policy does not let visitors change models, it only shows, opens and exports them."""

    id = "models"
    state_type = ModelsState

    def __init__(self, page: Page):
        self.editable = page.policy.editable
        super().__init__(page)

    def _build(self) -> None:
        with gr.Row(equal_height=False, elem_id="models-page"):
            with gr.Column(scale=6, min_width=320, elem_id="models-left"):
                self.adding = AddModel(self) if self.editable else None
                with gr.Row(elem_id="models-filter"):
                    self.ability = gr.Radio(ABILITIES, value=EVERYTHING, label="What it can do", min_width=280, elem_id="models-what")
                    self.find = gr.Textbox(
                        "", label="Find", placeholder="a name, family, class or licence", max_lines=1, min_width=200, elem_id="models-find"
                    )
                self.cards = press_grid(elem_id="models-cards")
                self.broken = gr.HTML("", visible=False, padding=False, elem_id="models-broken")
                self.trash = TrashSection(self) if self.editable else None
            with gr.Column(scale=4, min_width=320, elem_id="models-right"):
                if self.trash:
                    self.trash.build_undo()
                self.details = ModelDetails(self)

    @property
    def enter_inputs(self) -> list:
        """The ability that is filtered by, and the text under Find."""
        return [self.ability, self.find]

    @property
    def enter_outputs(self) -> list:
        """Components that `enter` may change."""
        parts = [part.outputs for part in (self.details, self.trash, self.adding) if part]
        return [self.cards, self.broken, *(output for outputs in parts for output in outputs)]

    @property
    def filter_inputs(self) -> list:
        """Inputs of handlers that end by showing the page again."""
        return [self.session, *self.enter_inputs]

    def _wire(self) -> None:
        self.then_scroll: dict[str, Any] = {"fn": None, "js": _TO_DETAILS_JS, **QUIET}
        gr.on([self.ability.input, self.find.change], friendly(self._list), self.filter_inputs, self.enter_outputs, **LIVE)
        self.on(self.cards.select, self._press).success(**self.then_scroll)
        self.details.wire()
        if self.trash:
            self.trash.wire()
        if self.adding:
            self.adding.wire()

    def on(self, trigger: Callable, handler: Callable[..., Outputs]) -> Any:
        """Wire a handler of (session, ability, find) that shows the page again; returns the event."""
        return trigger(friendly(handler), self.filter_inputs, self.enter_outputs, **QUIET)

    # -- showing -------------------------------------------------------------------------------------------------

    def enter(self, session: Session, ability: str, find: str) -> Outputs:
        """The page when the tab is opened, and after every change: the list, and the details that are open."""
        models, broken = self.engine.library.scan()
        return {**self._listed(session, ability, find, models, broken), **self.details.shown(session, models)}

    def _list(self, session: Session, ability: str, find: str) -> Outputs:
        return self._listed(session, ability, find, *self.engine.library.scan())

    def _listed(self, session: Session, ability: str, find: str, models: list[ModelInfo], broken: list[Broken]) -> Outputs:
        state, library = self.state_of(session), self.engine.library
        found = matching(models, ability, find)
        state.listed = [m.id for m in found]
        cards = cards_html(library, found, state.model, self.engine.status()["loaded"])
        return {
            self.cards: cards,
            self.broken: gr.update(value=broken_html(broken), visible=bool(broken)),
            **(self.trash.shown(session) if self.trash else {}),
            **(self.adding.shown(models) if self.adding else {}),
        }

    def _press(self, session: Session, ability: str, find: str, event: gr.EventData) -> Outputs:
        state = self.state_of(session)
        state.model = pressed(event, state.listed)
        return self.enter(session, ability, find)

    def open_added(self, session: Session, info: ModelInfo, ability: str, find: str) -> Outputs:
        """Show the details of a model that has just been added; a filter that would hide it is cleared."""
        state = self.state_of(session)
        state.model = info.id
        shown = self.enter(session, ability, find)
        if info.id not in state.listed:
            return {**shown, **self._list(session, EVERYTHING, ""), self.ability: EVERYTHING, self.find: ""}
        return shown

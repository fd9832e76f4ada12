"""Share: a model to the Hub of Hugging Face, a Space in one click, and what saved files say about how they were made."""

from typing import Any

import gradio as gr

from studio.ui.components.handlers import Outputs
from studio.ui.components.notes import empty_html
from studio.ui.components.tab import Tab
from studio.ui.session import Session
from studio.ui.share.account_section import AccountSection
from studio.ui.share.hub_section import HubSection
from studio.ui.share.provenance_section import ProvenanceSection
from studio.ui.share.space_section import SpaceSection
from studio.ui.share.state import ShareState
from studio.ui.share.view import shareable

_NO_MODEL = "<b>There is no model to share yet.</b><br>Train one in the Train tab, or import one."


class ShareTab(Tab[ShareState]):
    """The tab, built inside the current Blocks."""

    id, state_type = "share", ShareState

    def _build(self) -> None:
        library = self.engine.library
        self.nothing = gr.HTML(empty_html(_NO_MODEL), visible=False, padding=False, elem_id="share-nothing")
        with gr.Column(elem_id="share-page") as self.body:
            self.account = AccountSection()
            with gr.Accordion("A model to the Hub", elem_id="share-hub"):
                self.hub = HubSection(library, self.account)
            with gr.Accordion("A Space in one click", open=False, elem_id="share-space"):
                self.space = SpaceSection(library, self.account)
        with gr.Accordion("Provenance: what files say about how they were made", elem_id="share-marks"):
            self.provenance = ProvenanceSection()

    def _wire(self) -> None:
        for section in (self.account, self.hub, self.space):
            section.wire(self)

    @property
    def enter_outputs(self) -> list[Any]:
        """Components that `enter` may change."""
        sections = [*self.account.outputs, *self.hub.enter_outputs, *self.space.outputs, *self.provenance.enter_outputs]
        return [self.nothing, self.body, *sections]

    def enter(self, session: Session, *values: Any) -> Outputs:
        """The models there are now, and the ones chosen before."""
        state, found = self.state_of(session), bool(shareable(self.engine.library))
        shown = {self.nothing: gr.update(visible=not found), self.body: gr.update(visible=found), **self.provenance.enter()}
        if not found:
            return shown
        return {**shown, **self.account.enter(state), **self.hub.enter(state), **self.space.show(state)}

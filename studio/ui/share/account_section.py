"""Section of Share with the visitor's account on the Hub. The token that is typed stays in memory."""

import html
from typing import Any

import gradio as gr
from gradio.events import Dependency

from studio.sharing import hub
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.tab import Tab
from studio.ui.session import Session
from studio.ui.share.state import ShareState

_LOGGED_IN = "This computer is already logged in to the Hub: you can leave the box empty."
_LOGGED_OUT = (
    'The Hub is <a href="https://huggingface.co" target="_blank" rel="noopener">huggingface.co</a>. A token is a password for programs: '
    "create one with write access on its page "
    '<a href="https://huggingface.co/settings/tokens" target="_blank" rel="noopener">Access Tokens</a> and paste it here. '
    "It is only kept in memory, until you close the page."
)


class AccountSection:
    """The account, built inside the current Blocks."""

    def __init__(self) -> None:
        with gr.Row(equal_height=False, elem_id="share-account"):
            with gr.Column(scale=5, min_width=300):
                self.token = gr.Textbox(type="password", label="Your access token for the Hub", max_lines=1, elem_id="share-token")
                with gr.Row(elem_classes="gs-tools"):
                    self.check = gr.Button("Check the token", elem_id="share-use")
                    self.forget = gr.Button("Forget it", visible=False, elem_id="share-forget")
            with gr.Column(scale=6, min_width=300):
                self.account = gr.HTML(note(_LOGGED_OUT), padding=False, elem_id="share-as")

    @property
    def outputs(self) -> list[Any]:
        """Components that `log_in` changes."""
        return [self.account, self.forget]

    def wire(self, tab: Tab[ShareState]) -> None:
        """Connect the buttons."""

        def check(session: Session, typed: str) -> Outputs:
            return self.log_in(tab.state_of(session), typed)

        def forget(session: Session) -> Outputs:
            tab.state_of(session).token = None
            return {self.account: note(_greeting()), self.forget: gr.update(visible=False)}

        self.clear_after(self.check.click(friendly(check), [tab.session, self.token], self.outputs, **QUIET))
        self.forget.click(friendly(forget), tab.session, self.outputs, **QUIET)

    def clear_after(self, event: Dependency) -> None:
        """Clear the token's box afterwards, whether the token worked or not."""
        for after in (event.success, event.failure):
            after(lambda: "", None, self.token, **QUIET)

    def enter(self, state: ShareState) -> Outputs:
        """What is shown when the tab is opened."""
        return {} if state.token else {self.account: note(_greeting())}

    @staticmethod
    def token_of(state: ShareState, typed: str | None) -> str | None:
        """The token to use: the one just typed, else the one typed before, else None (that of this computer's login)."""
        return (typed or "").strip() or state.token

    def log_in(self, state: ShareState, typed: str | None) -> Outputs:
        """Ask the Hub whose token it is, and keep it in memory when the Hub accepts it. Raises StudioError when it does not."""
        who = hub.whoami(self.token_of(state, typed))
        state.token = self.token_of(state, typed)
        groups = f", in {', '.join(map(html.escape, who.groups))}" if who.groups else ""
        words = note(f"You are <b>{html.escape(who.name)}</b> on the Hub{groups}.")
        return {self.account: words, self.forget: gr.update(visible=bool(state.token))}


def _greeting() -> str:
    return _LOGGED_IN if hub.known_token() is not None else _LOGGED_OUT

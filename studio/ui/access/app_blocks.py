"""The page as Gradio's Blocks, with one door for everything that is shown as a toast."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui.access.app_queue import AppQueue, no_visitor
from studio.ui.access.app_sessions import AppSessions
from studio.ui.access.toast_text import toast_text
from studio.ui.components.handlers import UNEXPECTED

if TYPE_CHECKING:
    from studio.ui.live.endpoint import LiveEndpoint

log = logging.getLogger(__name__)


class AppBlocks(gr.Blocks):
    """Blocks whose errors, warnings and notes are plain text on the page.

    Gradio draws the text of a toast as HTML, and much of it comes from files, links and other people. Errors of handlers, and those
    that Gradio raises before and after them, pass through `process_api`; gr.Warning, gr.Info and gr.Success through the queue.
    What is no error for people goes to the log, and the page shows a short sentence.
    strangers: whether those who see it may learn no path of this machine.  visitor_of: see `AppQueue`; set both before `queue`.
    live: the live channel of its pages; None = they have none.
    """

    strangers = False
    live: "LiveEndpoint | None" = None
    visitor_of: Callable[..., str] = staticmethod(no_visitor)

    def queue(self, *args: Any, **kwargs: Any) -> "AppBlocks":
        """As `gr.Blocks.queue`."""
        super().queue(*args, **kwargs)
        of_gradio = self._queue
        self._queue = AppQueue(
            live_updates=of_gradio.live_updates,
            concurrency_count=of_gradio.max_thread_count,
            update_intervals=of_gradio.update_intervals,
            max_size=of_gradio.max_size,
            blocks=self,
            default_concurrency_limit=of_gradio.default_concurrency_limit,
            visitor_of=self.visitor_of,
            strangers=self.strangers,
        )
        return self

    def limit_sessions(self, visitor_of: Callable[[str], str] = lambda session: "") -> None:
        """Keep only so many sessions in memory, once the server runs.  visitor_of: see `AppSessions`."""
        self.app.state_holder = AppSessions(self, visitor_of)

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As `gr.Blocks.process_api`. Raises gr.Error, with escaped text, for every error."""
        try:
            return await super().process_api(*args, **kwargs)
        except gr.Error as e:
            e.message, e.title = (toast_text(str(text), self.strangers) for text in (e.message, e.title))
            raise
        except Exception:
            log.exception("an event failed outside of its handler")
            raise gr.Error(UNEXPECTED, print_exception=False) from None

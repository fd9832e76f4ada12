"""Gradio's memory of sessions, with a limit: the least recently used go, and all that they own goes with them."""

import copy
import datetime
import logging
from collections.abc import Callable
from typing import Any

from gradio.blocks import Blocks
from gradio.components import State
from gradio.state_holder import SessionState, StateHolder

MOST_SESSIONS = 256  # pages
MOST_OF_ONE = 32  # pages of one visitor
MOST_CALLS = 32  # sessions without a page, which each call of the API makes
_KEPT_CLOSED = 3600  # seconds for which the state of a closed page stays, as Gradio has it
log = logging.getLogger(__name__)


class LightSession(SessionState):
    """What Gradio remembers of a session, without a description of every component, which only its deep links read. Making those took
    the event loop 15 ms for each call of the API, and as long again for each handler that changes many components.
    """

    def __init__(self, blocks: Blocks):
        self.blocks_config = copy.copy(blocks.default_config)
        self.config_values: dict[int, dict] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, tuple] = {}
        self.is_closed, self.STATE_TTL_WHEN_CLOSED = False, _KEPT_CLOSED

    def __setitem__(self, key: int, value: Any) -> None:
        block = self.blocks_config.blocks.get(key)
        if isinstance(block, State):
            self._state_ttl[key] = block.time_to_live, datetime.datetime.now()
            self.state_data[key] = value
        else:
            self.blocks_config.blocks[key] = value

    def _update_config(self, key: int) -> None:
        """Called after a component was changed."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Called after a value was changed."""


class AppSessions(StateHolder):
    """States of all sessions. Beyond the limits the least recently used one is deleted, the callbacks of its states are called, and
    what the queue remembers of it goes. A session at work goes last.

    visitor_of: id of a session -> its visitor, '' = not known.
    """

    def __init__(self, blocks: Blocks, visitor_of: Callable[[str], str] = lambda session: ""):
        super().__init__()
        self.visitor_of = visitor_of
        self.set_blocks(blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        with self.lock:
            if session_id not in self.session_data:
                self.session_data[session_id] = LightSession(self.blocks)
        return super().__getitem__(session_id)

    def update(self, session_id: str) -> None:
        """Called whenever a session is used: make it the newest, and let others go."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            if len(self.session_data) <= min(MOST_SESSIONS, MOST_OF_ONE, MOST_CALLS):
                return
            others = [(id, state) for id, state in self.session_data.items() if id != session_id]
        visitor = self.visitor_of(session_id)
        calls = [id for id, state in others if not state.state_data]
        pages = [id for id, state in others if state.state_data]
        mine = [id for id in pages if visitor and self.visitor_of(id) == visitor]
        for ids, most in ((calls, MOST_CALLS), (mine, MOST_OF_ONE), (pages, MOST_SESSIONS)):
            left = [id for id in ids if id in self.session_data]
            # `most` counts the session in use.
            for id in sorted(left, key=self._is_at_work)[: max(0, len(left) + 1 - most)]:
                self.let_go(id)

    def delete_all_expired_state(self) -> None:
        """Called every second: forget sessions whose page was closed an hour ago, and not only their states."""
        super().delete_all_expired_state()
        for id, state in list(self.session_data.items()):
            if state.is_closed and not state.state_data and not self._is_at_work(id):
                self.let_go(id)

    def let_go(self, id: str) -> None:
        """Delete a session with all that it owns."""
        try:
            self.delete_state(id)
        except Exception:
            log.exception("the states of a session could not be freed")
        with self.lock:
            self.session_data.pop(id, None)
            self.time_last_used.pop(id, None)
        queue = self.blocks._queue
        if not queue.pending_event_ids_session.get(id):
            queue.pending_event_ids_session.pop(id, None)

    def _is_at_work(self, id: str) -> bool:
        return bool(self.blocks._queue.pending_event_ids_session.get(id))

"""Endpoint of the live channel on the app's own server: which page a socket belongs to, and whether it may have it."""

import html
import secrets
import threading
import weakref
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from studio.ui.access.middleware import cookie_of
from studio.ui.live.channel import GOING_AWAY, REPLACED, UNKNOWN, Channel
from studio.ui.live.moves import LiveMoves
from studio.ui.session import Session

PATH = "/live"


class LiveEndpoint:
    """One channel for each session. A page proves with a token that a session is its own; where visitors are strangers to each other, its
    browser must also be the one that opened the session.

    browser_of: cookie of a visitor -> the folder of their files; None = everybody shares the home folder.
    """

    def __init__(self, moves: LiveMoves, browser_of: Callable[[str | None], str] | None = None):
        self.moves, self.browser_of = moves, browser_of
        self._lock = threading.Lock()
        self._sessions: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()  # by token
        self._channels: dict[str, Channel] = {}  # by id of the session

    def add_to(self, app: Starlette) -> None:
        """Answer at PATH of a server."""
        app.router.routes.insert(0, WebSocketRoute(PATH, self.serve))

    def invite(self, session: Session) -> str:
        """A token with which a page opens the channel of this session."""
        token = secrets.token_urlsafe(24)
        self._sessions[token] = session
        return token

    def forget(self, session: Session) -> None:
        """The visitor has left: their channel is closed."""
        with self._lock:
            channel = self._channels.pop(session.id, None)
        if channel is not None:
            channel.close(GOING_AWAY)

    async def serve(self, socket: WebSocket) -> None:
        """One socket, from its opening to its end."""
        session = self._sessions.get(socket.query_params.get("token", ""))
        await socket.accept()
        if session is None or not self._is_theirs(socket, session):
            return await socket.close(UNKNOWN)
        channel = Channel(socket, session, self.moves)
        with self._lock:
            old = self._channels.get(session.id)
            self._channels[session.id] = channel
        if old is not None:
            old.close(REPLACED)
        try:
            await channel.run()
        finally:
            with self._lock:
                if self._channels.get(session.id) is channel:
                    del self._channels[session.id]

    def _is_theirs(self, socket: WebSocket, session: Session) -> bool:
        if self.browser_of is None or not session.workspace.guest:
            return True
        return self.browser_of(cookie_of(socket.headers.get("cookie", ""))) == session.workspace.folder.parent.name


def token_html(token: str) -> str:
    """The token where the page's script finds it."""
    return f'<i data-token="{html.escape(token, quote=True)}"></i>'

"""Middleware for visitors: they reach only what the page needs, and only files of their own."""

import json
from collections.abc import Callable, Iterator
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from studio.common.files import ensure_room
from studio.errors import NoRoom
from studio.ui.access.client_address import address_of
from studio.ui.access.refusal import Receive, Refused, Send, headers_of, send_refusal
from studio.ui.access.visitors import DAY, MOST_UPLOADED, Visitors

COOKIE = "gan-studio-visitor"
MAX_JSON_BYTES = 16 << 20  # bytes; a recipe has at most 8 MB
_API = "/gradio_api/"
# Beginnings of every path that the page and API clients request. Gradio has more, which the studio does not use.
_NEEDED = (
    "queue/join",
    "queue/data",
    "upload",
    "upload_progress",
    "file=",
    "heartbeat/",
    "cancel",
    "reset",
    "info",
    "call/",
    "run/",
    "api/",
    "startup-events",
    "theme.css",
    "app_id",
    "login_check",
    "user",
    "token",
)


class _Disconnected(Exception):
    """The line was cut before a request was complete."""


def sender_of(request: Any, username: str | None) -> str:
    """Who sent a request: the one who logged in, or a browser by its cookie, or else an address.  request: Starlette's."""
    if username:
        return f"user {username}"
    browser = Visitors.browser_of(request.cookies.get(COOKIE)) if request is not None else Visitors.browser_of(None)
    if browser != Visitors.browser_of(None):
        return browser
    return f"address {address_of(request.scope, behind_any_proxy=True) if request is not None else ''}"


class VisitorMiddleware:
    """ASGI middleware around Gradio's app: it gives each browser a cookie and refuses access to the files and sessions of others."""

    def __init__(self, app: Callable, visitors: Visitors):
        self.app, self.visitors = app, visitors

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = headers_of(scope)
        cookie = cookie_of(headers.get("cookie", ""))
        browser, asked = self.visitors.browser_of(cookie), scope["path"].partition(_API)[2]
        try:
            if scope["path"].startswith("/monitoring"):
                raise Refused(404, "There is no such page.")
            if not asked:
                # Each page renews the cookie of a browser for another day.
                known = cookie if cookie is not None and browser != self.visitors.browser_of(None) else self.visitors.new_cookie()
                return await self.app(scope, receive, _with_cookie(send, known, _is_https(scope, headers)))
            self._check(asked, scope, browser)
            if scope["method"] == "POST" and asked.partition("/")[0] == "upload":
                return await self.app(scope, self._counted(receive, scope, headers, browser), self._recording_uploads(send, browser))
            if scope["method"] == "POST":
                receive = await self._checked_body(receive, headers, browser)
            await self.app(scope, receive, send)
        except Refused as e:
            await send_refusal(scope, send, e)
        except _Disconnected:
            pass  # there is nobody left to answer

    def _counted(self, receive: Receive, scope: dict, headers: dict[str, str], browser: str) -> Receive:
        """A `receive` that counts what a visitor uploads. Raises Refused, at once when the length that is announced is too much."""
        text = headers.get("content-length", "")
        announced = int(text) if text.isdecimal() and len(text) < 20 else 0
        address = address_of(scope, behind_any_proxy=True)
        too_much = Refused(413, f"You can upload {MOST_UPLOADED >> 20} MB in all, and again an hour after you close the page.")
        if announced > MOST_UPLOADED:
            raise too_much
        try:
            ensure_room(self.visitors.folder, announced)
        except NoRoom:
            raise Refused(507, "The disk of this studio is nearly full. Try a smaller file, or come back later.") from None

        async def counting() -> dict:
            message = await receive()
            if not self.visitors.receive(browser, address, len(message.get("body", b""))):
                raise too_much
            return message

        return counting

    def _check(self, asked: str, scope: dict, browser: str) -> None:
        """Check the address. Raises Refused."""
        if not asked.startswith(_NEEDED):
            raise Refused(404, "There is no such page.")
        if asked.startswith("file=") and not self.visitors.may_read(browser, asked.removeprefix("file=")):
            raise Refused(403, "This file is not yours, or it is no longer here.")
        sessions = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash", [])
        if asked.startswith("heartbeat/"):
            sessions = [*sessions, asked.removeprefix("heartbeat/").strip("/")]
        self._check_sessions(sessions, browser)

    def _check_sessions(self, sessions: list, browser: str) -> None:
        if not all(isinstance(s, str) and len(s) <= 100 and self.visitors.owns(browser, s) for s in sessions):
            raise Refused(403, "This session is not yours. Reload the page.")

    async def _checked_body(self, receive: Receive, headers: dict[str, str], browser: str) -> Receive:
        """Read a JSON body and check the files and sessions it names -> a `receive` that replays it. Raises Refused."""
        body = await _read(receive, headers)
        try:
            raw = json.loads(body) if body else None
        except RecursionError:
            raise Refused(400, "The request is nested too deeply.") from None
        except ValueError:
            raw = None  # Gradio itself reports what is wrong with it
        if isinstance(raw, dict) and raw.get("session_hash") is not None:
            self._check_sessions([raw["session_hash"]], browser)
        for path in _paths(raw):
            if path.startswith(("http:", "https:")) or (self.visitors.contains(path) and not self.visitors.may_read(browser, path)):
                raise Refused(403, "This file is not yours, or it is no longer here.")
        given = False

        async def again() -> dict:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        return again

    def _recording_uploads(self, send: Send, browser: str) -> Send:
        """A `send` that remembers which files Gradio says it has stored for this browser."""
        answer = bytearray()

        async def recording(message: dict) -> None:
            if message["type"] == "http.response.body":
                answer.extend(message.get("body", b""))
                if not message.get("more_body"):
                    try:
                        paths = json.loads(bytes(answer))
                    except ValueError:
                        paths = []  # an error message
                    self.visitors.uploaded(browser, [p for p in paths if isinstance(p, str)] if isinstance(paths, list) else [])
            await send(message)

        return recording


async def _read(receive: Receive, headers: dict[str, str]) -> bytes:
    said = headers.get("content-length", "")
    body, more = bytearray(), not (said.isdecimal() and int(said) > MAX_JSON_BYTES)
    while more and len(body) <= MAX_JSON_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        body.extend(message.get("body", b""))
        more = message.get("more_body", False)
        if not more and len(body) <= MAX_JSON_BYTES:
            return bytes(body)
    raise Refused(413, f"The request is larger than {MAX_JSON_BYTES >> 20} MB.")


def _paths(raw: Any) -> Iterator[str]:
    """Every value in a request that may be the path of a file."""
    waiting = [raw]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value["path"]
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def cookie_of(header: str) -> str | None:
    """The visitor's cookie in a Cookie header; None = there is none."""
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _is_https(scope: dict, headers: dict[str, str]) -> bool:
    return "https" in (scope.get("scheme"), headers.get("x-forwarded-proto", "").partition(",")[0].strip())


def _with_cookie(send: Send, cookie: str, https: bool) -> Send:
    # In a frame of another site, as on Hugging Face, a browser sends only partitioned cookies, which need https.
    where = "SameSite=None; Secure; Partitioned" if https else "SameSite=Lax"
    line = f"{COOKIE}={cookie}; Path=/; Max-Age={DAY}; HttpOnly; {where}".encode()

    async def sending(message: dict) -> None:
        headers = list(message.get("headers", []))
        if message["type"] == "http.response.start" and any(
            k.lower() == b"content-type" and v.startswith(b"text/html") for k, v in headers
        ):
            message = {**message, "headers": [*headers, (b"set-cookie", line)]}
        await send(message)

    return sending

"""Refusal of a request by a middleware."""

import json
from collections.abc import Awaitable, Callable

Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]


class Refused(Exception):
    """A request that is turned down.  status: of HTTP.  message: for whoever sent it."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message


async def send_refusal(scope: dict, send: Send, refused: Refused) -> None:
    """Answer a request with the status and the message as Gradio's errors have them; a socket is closed before it is open."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refused.message[:120]})
        return
    body = json.dumps({"detail": refused.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def headers_of(scope: dict) -> dict[str, str]:
    """The headers of a request, by their names in lower case; the last one of a name counts."""
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}

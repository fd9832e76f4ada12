"""Requests to a studio without a login on this machine: only pages of its own may make them.

Any page in the same browser can send requests to 127.0.0.1, and a page whose name was made to lead there (DNS rebinding) could
also read the answers. The first kind names a foreign Origin, the second a foreign Host.
"""

import os
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from studio.ui.access.refusal import Receive, Refused, Send, headers_of, send_refusal
from studio.ui.access.serving import is_loopback

_SAFE = ("GET", "HEAD", "OPTIONS")
_HINT = "Open it at http://localhost, or name the other address in the environment's STUDIO_ALLOWED_HOSTS."


def allowed_hosts() -> frozenset[str]:
    """Further names of this studio, from the environment variable STUDIO_ALLOWED_HOSTS: names without port, with commas between."""
    names = os.environ.get("STUDIO_ALLOWED_HOSTS", "").split(",")
    return frozenset(name.strip().lower() for name in names if name.strip())


class LocalOnlyMiddleware:
    """ASGI middleware that answers requests to a name of this machine, from pages of this address.

    Reading needs a Host of this machine; everything else, and a socket, also no Origin but the address itself.
    hosts: further names that are trusted, as those of a proxy in front.
    """

    def __init__(self, app: Callable, hosts: Collection[str] = ()):
        self.app, self.hosts = app, frozenset(hosts)

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except Refused as e:
                return await send_refusal(scope, send, e)
        await self.app(scope, receive, send)

    def _check(self, scope: dict) -> None:
        headers = headers_of(scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_own(_name("//" + host)):
            raise Refused(403, f"This studio is open on its own machine only. {_HINT}")
        writes = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if writes and origin is not None and not self._same(origin, host):
            raise Refused(403, f"The request comes from another page. {_HINT}")

    def _is_own(self, name: str) -> bool:
        return name in self.hosts or is_loopback(name) or name.endswith(".localhost")

    def _same(self, origin: str, host: str) -> bool:
        page = _address(origin)
        # Of the usual port a page says nothing, and which one that is depends on the page's scheme.
        return page is not None and (page == _address("//" + host, urlsplit(origin).scheme) or page[0] in self.hosts)


def _name(address: str) -> str:
    """The host name of an address, in lower case; '' when it is none."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _address(address: str, scheme: str = "") -> tuple[str, int] | None:
    """(host name, port) of an address; None when it is none."""
    try:
        parts = urlsplit(address, scheme)
        if not parts.hostname or parts.scheme not in ("http", "https", "ws", "wss"):
            return None
        return parts.hostname, parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    except ValueError:
        return None

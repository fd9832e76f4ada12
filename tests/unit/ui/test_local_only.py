"""A studio without a login on this machine: to whom it answers."""

import asyncio

import pytest

from studio.ui.access.local_only import LocalOnlyMiddleware, allowed_hosts
from studio.ui.access.serving import is_loopback

OWN = "http://127.0.0.1:7860"


def answer(method: str = "GET", host: str | None = "127.0.0.1:7860", origin: str | None = None, kind: str = "http", hosts=()) -> int | str:
    """200 when the app is reached, else the status; for a socket 'open' or 'closed'."""
    sent: list[dict] = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200} if kind == "http" else {"type": "websocket.accept"})

    async def send(message):
        sent.append(message)

    headers = [(k, v.encode()) for k, v in ((b"host", host), (b"Origin", origin)) if v is not None]
    scope = {"type": kind, "headers": headers, **({"method": method} if kind == "http" else {})}
    asyncio.run(LocalOnlyMiddleware(app, hosts)(scope, None, send))
    return sent[0].get("status") or {"websocket.accept": "open", "websocket.close": "closed"}[sent[0]["type"]]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:7860", "127.0.0.1:80", "127.8.8.8", "[::1]:7860", "LOCALHOST.:1", "studio.localhost:7"]
)
def test_names_of_this_machine(host):
    assert answer(host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "127.evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.2",
        "",
        "[",
        None,
    ],
)
def test_other_names(host):
    assert answer(host=host) == 403
    assert answer(host=host, kind="websocket") == "closed"


@pytest.mark.parametrize("origin", [None, OWN, OWN.upper()])
def test_pages_of_its_own(origin):
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert answer(method, origin=origin) == 200
    assert answer(kind="websocket", origin=origin) == "open"


def test_the_usual_port_may_be_left_out():
    assert (
        answer("POST", host="localhost", origin="http://localhost") == answer("POST", host="localhost:80", origin="http://localhost") == 200
    )


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://127.0.0.1:8000", "http://localhost:7860", "null", "", "http://[", "file://"],
)
def test_pages_of_others(origin):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert answer(method, origin=origin) == 403
    assert answer(kind="websocket", origin=origin) == "closed"
    assert answer("GET", origin=origin) == 200, "reading answers is prevented by the browser itself"


def test_a_name_that_was_allowed(monkeypatch):
    monkeypatch.setenv("STUDIO_ALLOWED_HOSTS", " Hub.example , other.example,,")
    hosts = allowed_hosts()
    assert hosts == {"hub.example", "other.example"}
    assert answer("POST", host="hub.example:8000", origin="https://hub.example", hosts=hosts) == 200
    assert answer("POST", host="127.0.0.1:7860", origin="https://hub.example", hosts=hosts) == 200
    assert answer(kind="websocket", host="hub.example", origin="https://evil.example", hosts=hosts) == "closed"
    monkeypatch.delenv("STUDIO_ALLOWED_HOSTS")
    assert allowed_hosts() == frozenset()


def test_a_name_that_begins_like_an_address_is_none():
    assert is_loopback(None)
    assert is_loopback("127.0.0.9")
    assert is_loopback("::1")
    assert not is_loopback("127.evil.example")
    assert not is_loopback("0.0.0.0")

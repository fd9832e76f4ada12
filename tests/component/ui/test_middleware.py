"""A studio that strangers may open, asked over HTTP by some who mean no good, and one with a login."""

import io
import json
import os
import re

import httpx
import pytest
from PIL import Image

from studio.engine.recipe import Recipe
from studio.ui.access.middleware import COOKIE, MAX_JSON_BYTES
from studio.ui.access.serving import ServingPolicy
from tests.conftest import save_tiny

LIMIT = 1 << 20  # of an upload, here


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """(URL, home, app) of a studio for visitors, of which only the model 'anna' is offered."""
    import studio.ui.app as app_module

    home = tmp_path_factory.mktemp("home")
    for name in ("anna", "berta"):
        save_tiny(home / "models", name)
    (home / "outputs").mkdir()
    (home / "outputs" / "mine.png").write_bytes(png())
    (home / "visitors" / "of-long-gone" / "session").mkdir(parents=True)
    patch = pytest.MonkeyPatch()
    for name, value in (("STUDIO_HOME", str(home)), ("GRADIO_TEMP_DIR", "")):
        patch.setenv(name, value)
    patch.setattr(app_module, "MAX_UPLOAD_BYTES", LIMIT)
    policy = ServingPolicy(visitors=True, models=("anna",))
    app, url, engine, _ = app_module.launch(inbrowser=False, device="cpu", block=False, policy=policy)
    yield url.rstrip("/"), home, app
    app.close()
    engine.close()
    patch.undo()


@pytest.fixture
def browsers(opened):
    """Two browsers that have been on the page."""
    with httpx.Client(base_url=opened[0]) as a, httpx.Client(base_url=opened[0]) as b:
        for browser in (a, b):
            assert browser.get("/").status_code == 200
            assert COOKIE in browser.cookies
        yield a, b


def png(colour: int = 9) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def upload(browser, name: str = "mine.png", data: bytes | None = None) -> str:
    return browser.post("/gradio_api/upload", files={"files": (name, data or png())}).raise_for_status().json()[0]


def fetch(browser, path) -> int:
    return browser.get(f"/gradio_api/file={path}").status_code


def fn_index(app, elem_id: str) -> int:
    block = next(b._id for b in app.blocks.values() if getattr(b, "elem_id", None) == elem_id)
    return next(i for i, f in app.fns.items() if any(t[0] == block for t in f.targets))


def test_what_was_left_by_visitors_of_before_is_gone(opened):
    assert not (opened[1] / "visitors" / "of-long-gone").exists()
    assert (opened[1] / "outputs" / "mine.png").exists()


def test_the_cookie_says_nothing_and_suits_the_connection(opened):
    plain = httpx.get(opened[0]).headers["set-cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain
    framed = httpx.get(opened[0], headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert "SameSite=None; Secure; Partitioned" in framed
    mine = {COOKIE: "x" * 40}
    assert f"{COOKIE}={'x' * 40};" in httpx.get(opened[0], cookies=mine).headers["set-cookie"], "a known browser stays the same"
    for bad in ("short", "x" * 65, "of-../../" + "x" * 40):
        assert bad not in httpx.get(opened[0], headers={"cookie": f"{COOKIE}={bad}"}).headers["set-cookie"]


def test_what_one_hands_in_no_other_can_fetch(browsers, opened):
    a, b = browsers
    path = upload(a)
    assert path.startswith(str(opened[1] / "visitors"))
    assert fetch(a, path) == 200
    assert fetch(b, path) == 403
    assert b.head(f"/gradio_api/file={path}").status_code == 403
    assert httpx.get(f"{opened[0]}/gradio_api/file={path}").status_code == 403
    assert upload(b) == path
    assert fetch(b, path) == 200, "who has the very same picture may see it"


def test_names_of_uploads_lead_nowhere_else(browsers, opened):
    taken = 0
    for name in ("../../../../evil.png", "/etc/evil.png", "..\\..\\evil.png", "..", "a" * 300 + ".png"):
        answer = browsers[0].post("/gradio_api/upload", files={"files": (name, png())})
        if answer.status_code != 400:  # Gradio refuses what is no name at all
            taken += 1
            assert os.path.realpath(answer.json()[0]).startswith(str(opened[1] / "visitors") + os.sep)
    assert taken >= 3
    assert not list(opened[1].glob("evil*"))
    assert not list(opened[1].glob("models/evil*"))


def test_no_file_of_the_host_can_be_fetched(browsers, opened):
    url, home, _ = opened
    own = os.path.dirname(upload(browsers[0]))
    for path in (
        "/etc/passwd",
        home / "outputs" / "mine.png",
        home / "studio.log",
        home / "models" / "anna" / "config.json",
        f"{own}/../../outputs/mine.png",
        f"{own}/%2e%2e/%2e%2e/outputs/mine.png",
        f"{own}/..%2f..%2foutputs/mine.png",
        home / "visitors" / ".lock",
        home / "visitors",
        "",
        ".",
        "pyproject.toml",
        f"{url}/config",
        "http://example.com/a.png",
        "file:///etc/passwd",
        "//etc/passwd",
        "\x00",
    ):
        assert browsers[0].get(httpx.URL(url, raw_path=f"/gradio_api/file={path}".replace("\x00", "%00").encode())).status_code in (
            403,
            404,
        ), path


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/proxy=https://a.hf.space/",
        "monitoring",
        "monitoring/x",
        "gradio_api/deep_link?session_hash=x",
        "gradio_api/runs",
        "gradio_api/run-history/buckets",
        "gradio_api/component_server",
        "gradio_api/vibe-code/",
        "gradio_api/dev/reload",
        "file=/etc/passwd",
        "gradio_api/file//etc/passwd",
        "gradio_api/stream/a/b/1/playlist.m3u8",
        "gradio_api/process_recording",
    ],
)
def test_what_the_page_does_not_need_is_closed(browsers, path):
    assert browsers[0].get("/" + path).status_code == 404


def test_nobody_speaks_for_the_session_or_hands_on_the_file_of_another(browsers, opened):
    a, b = browsers
    drop, path = fn_index(opened[2], "drop"), upload(a, data=png(77))
    ask = {"fn_index": drop, "session_hash": "session-of-a", "data": [None, "", {"path": path, "meta": {"_type": "gradio.FileData"}}]}
    assert a.post("/gradio_api/queue/join", json=ask).status_code == 200
    assert b.post("/gradio_api/queue/join", json=ask).status_code == 403
    assert b.post("/gradio_api/cancel", json={"session_hash": "session-of-a", "fn_index": 0, "event_id": "x"}).status_code == 403
    assert b.get("/gradio_api/queue/data?session_hash=session-of-a").status_code == 403
    assert b.get("/gradio_api/heartbeat/session-of-a").status_code == 403
    for wrong in (
        path,
        os.path.join(os.path.dirname(path), "..", os.path.basename(os.path.dirname(path)), os.path.basename(path)),
        f"{opened[0]}/config",
    ):
        theirs = {**ask, "session_hash": "session-of-b", "data": [None, "", {"path": wrong, "meta": {"_type": "gradio.FileData"}}]}
        for address in ("queue/join", "run/x", "api/x", "call/render"):
            assert b.post(f"/gradio_api/{address}", json=theirs).status_code == 403, (wrong, address)


def test_bodies_that_are_too_much(browsers):
    a = browsers[0]
    assert a.post("/gradio_api/queue/join", content=b'{"data": "' + b"x" * MAX_JSON_BYTES + b'"}').status_code == 413
    assert a.post("/gradio_api/queue/join", content=iter([b"x" * (1 << 20)] * 17)).status_code == 413, "also without its length"
    assert a.post("/gradio_api/queue/join", content=b"[" * 200_000 + b"]" * 200_000).status_code in (400, 422)
    assert a.post("/gradio_api/queue/join", content=b"{").status_code == 422
    too_large = a.post("/gradio_api/upload", files={"files": ("large.png", b"x" * (2 * LIMIT))})
    assert too_large.status_code == 413
    assert "maximum allowed size" in too_large.text


def test_functions_that_there_are_not(browsers):
    for address in ("call/nothing", "call/v2/nothing", "run/nothing", "api/nothing"):
        answer = browsers[0].post(f"/gradio_api/{address}", json={"data": []})
        assert (answer.status_code, "has no such function" in answer.json()["detail"]) == (404, True), address
    assert browsers[0].post("/gradio_api/queue/join", json={"fn_index": 9999, "session_hash": "n", "data": []}).status_code == 404


def test_a_visitor_uploads_only_so_much(browsers, opened, monkeypatch):
    import studio.ui.access.visitors as visitors_module

    a, b = browsers
    upload(a)
    monkeypatch.setattr(visitors_module, "MOST_UPLOADED", 40_000)
    for _ in range(2):
        assert a.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 15_000)}).status_code == 200
    refused = a.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 15_000)})
    assert refused.status_code == 413
    assert "in all" in refused.json()["detail"]
    assert upload(b), "others are not concerned"


def test_neither_a_new_cookie_nor_none_brings_room_for_more(opened, monkeypatch):
    import studio.ui.access.visitors as visitors_module

    monkeypatch.setattr(visitors_module, "MOST_UPLOADED", 40_000)
    monkeypatch.setattr(visitors_module, "MOST_OF_ADDRESS", 100_000)

    def statuses(cookie: bool, address: str) -> list[int]:
        answers = []
        for i in range(8):
            cookies = {COOKIE: f"{address}-{i}".replace(".", "-") + "x" * 40} if cookie else None
            files = {"files": ("a.png", b"x" * 15_000)}
            headers = {"x-forwarded-for": address}  # as a proxy on this machine sends it
            answers.append(httpx.post(f"{opened[0]}/gradio_api/upload", files=files, headers=headers, cookies=cookies).status_code)
        return answers

    assert statuses(False, "198.51.100.1") == [200] * 2 + [413] * 6, "without a cookie an address is one visitor"
    assert statuses(True, "198.51.100.2") == [200] * 6 + [413] * 2, "the bound of the address"
    assert statuses(True, "198.51.100.3")[0] == 200, "others are not concerned"


def test_an_upload_for_which_there_is_no_room_is_refused_before_it_comes(browsers, opened, monkeypatch):
    a = browsers[0]
    monkeypatch.setenv("STUDIO_KEEP_FREE_MB", str(10**9))
    before = {path for path in (opened[1] / "visitors").rglob("*") if path.is_file()}
    refused = a.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 15_000)})
    assert refused.status_code == 507
    assert refused.json()["detail"] == "The disk of this studio is nearly full. Try a smaller file, or come back later."
    assert {path for path in (opened[1] / "visitors").rglob("*") if path.is_file()} == before
    monkeypatch.undo()
    assert upload(a)


def render(browser, recipe) -> list:
    """What the public API says at the end: [event, data]."""
    id = browser.post("/gradio_api/call/render", json={"data": [recipe]}).raise_for_status().json()["event_id"]
    lines = browser.get(f"/gradio_api/call/render/{id}", timeout=60).text.splitlines()
    return [lines[-3 if lines[-1] == "" else -2].removeprefix("event: "), lines[-2 if lines[-1] == "" else -1].removeprefix("data: ")]


def test_the_api_draws_what_is_offered_and_nothing_else(opened):
    with httpx.Client(base_url=opened[0]) as stranger:
        event, data = render(stranger, Recipe(model="anna").to_dict())
        picture = json.loads(data)[0]
        assert event == "complete"
        with Image.open(io.BytesIO(stranger.get(picture["url"]).raise_for_status().content)) as image:
            assert image.size == (32, 32)
        assert httpx.get(picture["url"]).status_code == 200, "whoever has the address, which cannot be guessed, as the README says"
        assert re.search(r"/open/[0-9a-f]{32}/", picture["url"])
        for recipe in (
            {"model": "berta"},
            {"model": "../berta"},
            {"model": "/etc"},
            {"model": str(opened[1] / "models" / "berta")},
            {"model": "x" * 10**6},
            [],
            "[" * 3000,
        ):
            event, data = render(stranger, recipe)
            assert event == "error", recipe
            assert "Traceback" not in data, recipe
            assert "berta" not in data.partition("Available")[2], recipe


def test_without_a_login_everything_is_closed(tmp_path, studio_home):
    from studio.ui.app import launch

    save_tiny(studio_home / "models", "anna")
    (studio_home / "outputs").mkdir()
    (studio_home / "outputs" / "mine.png").write_bytes(png())
    app, url, engine, supervisor = launch(inbrowser=False, device="cpu", block=False, auth=["ada:secret", "bo:other"])
    try:
        mine = f"/gradio_api/file={studio_home}/outputs/mine.png"
        with httpx.Client(base_url=url) as client:
            # What Gradio leaves open: pictures and styles of its own, whether somebody is logged in, and signs of life.
            harmless = {
                "/",
                "/login",
                "/logout",
                "/gradio_api/user",
                "/gradio_api/token",
                "/gradio_api/app_id",
                "/gradio_api/startup-events",
                "/theme.css",
                "/gradio_api/theme.css",
                "/robots.txt",
                "/favicon.ico",
                "/manifest.json",
                "/pwa_icon",
                "/gradio_api/reset",
                "/gradio_api/cancel",
                "/gradio_api/heartbeat/x",
                "/gradio_api/runs",
            }
            left_open = set()
            for route in app.app.routes:
                path = getattr(route, "path", "").replace("{path_or_url:path}", f"{studio_home}/outputs/mine.png").rstrip("/") or "/"
                if "{" in path or path in harmless:
                    continue
                for method in (getattr(route, "methods", None) or set()) & {"GET", "POST"}:
                    answer = client.request(method, path, json={} if method == "POST" else None)
                    if answer.status_code not in (401, 403, 404, 405):
                        left_open.add((method, path, answer.status_code))
            assert left_open == set()
            for verb in ("call", "call/v2", "run", "api"):
                assert client.post(f"/gradio_api/{verb}/render", json={"data": [{"model": "anna"}]}).status_code == 401
            assert client.get(mine).status_code == 401
            for wrong in (("ada", "other"), ("bo", "secret"), ("", ""), ("ada", "")):
                assert client.post("/login", data={"username": wrong[0], "password": wrong[1]}).status_code in (400, 422)
            assert client.get("/config").status_code == 401
            assert client.post("/login", data={"username": "bo", "password": "other"}).json() == {"success": True}
            assert client.get("/config").status_code == 200
            assert client.get(mine).content == png()
            assert upload(client)
            assert "Train" in client.get("/config").text, "one's own people share the home"
        assert "secret" not in (studio_home / "studio.log").read_text()
    finally:
        app.close()
        engine.close()
        supervisor.close()

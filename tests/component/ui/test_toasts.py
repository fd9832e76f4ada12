"""Toasts: whatever is in them is shown as text. Every door through which a sentence reaches the page is knocked at over HTTP."""

import json
import logging

import gradio as gr
import httpx
import pytest

from studio.common.log import show_warnings
from studio.errors import StudioError
from studio.ui.access.app_blocks import AppBlocks
from studio.ui.components.handlers import friendly, streaming
from tests.conftest import ROOT

HTML = "<img src=//evil.example/p> & co"
SHOWN = "&lt;img src=//evil.example/p&gt; &amp; co"


def studio_error():
    raise StudioError(f"There is no {HTML}.", HTML)


def stream_of_one():
    yield 1
    raise StudioError(HTML)


def error_of_gradio():
    raise gr.Error(HTML, title=HTML)


def warning():
    gr.Warning(HTML, title=HTML)


def info():
    gr.Info(HTML, title=HTML)


def success():
    gr.Success(HTML, title=HTML)


def log_of_signing():
    logging.getLogger("studio.test-toasts").warning(HTML)


def unexpected():
    raise ValueError(HTML)


# name -> (handler, value it is sent); each is an event of its own
DOORS = {
    "StudioError": (friendly(lambda _: studio_error()), ""),
    "StudioError of a generator": (streaming(lambda _: stream_of_one()), ""),
    "gr.Error": (friendly(lambda _: error_of_gradio()), ""),
    "gr.Error of a bare handler": (lambda _: error_of_gradio(), ""),
    "gr.Warning": (friendly(lambda _: warning()), ""),
    "gr.Info": (friendly(lambda _: info()), ""),
    "gr.Success": (friendly(lambda _: success()), ""),
    "a warning of the log": (friendly(lambda _: log_of_signing()), ""),
    "an unexpected error": (friendly(lambda _: unexpected()), ""),
    "an unexpected error of a bare handler": (lambda _: unexpected(), ""),
    "a choice that there is not": (friendly(lambda _: None), HTML),
}


@pytest.fixture(scope="module")
def page():
    """(URL, app) with an event for each door; the last one's input is a dropdown."""
    show_warnings("studio.test-toasts", gr.Warning)
    with AppBlocks() as app:
        out = gr.Textbox()
        for handler, value in DOORS.values():
            given = gr.Dropdown(["a"]) if value else gr.Textbox()
            gr.Button().click(handler, given, out, concurrency_limit=None)
    app.queue()
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, show_error=True)
    yield url.rstrip("/"), app
    app.close()
    show_warnings("studio.test-toasts", None)


def said(url: str, fn_index: int, value: str) -> str:
    """All that the page hears of an event."""
    with httpx.Client(base_url=url, timeout=30) as client:
        ask = {"fn_index": fn_index, "session_hash": f"s{fn_index}", "data": [value]}
        assert client.post("/gradio_api/queue/join", json=ask).status_code == 200
        return client.get(f"/gradio_api/queue/data?session_hash=s{fn_index}").text


@pytest.mark.parametrize("door", DOORS)
def test_html_is_shown_as_text(page, door):
    url, _ = page
    i = list(DOORS).index(door)
    answer = said(url, i, DOORS[door][1])
    assert "<img" not in answer
    if not door.startswith("an unexpected"):
        assert SHOWN in answer
        assert answer.count("&lt;img") == answer.count(SHOWN), "escaped once, not twice"
    else:
        assert "Something went wrong" in answer
        assert "evil" not in answer


def test_outside_of_the_queue_too(page):
    url, app = page
    app.api_open = True
    answer = httpx.post(f"{url}/gradio_api/run/predict", json={"fn_index": 0, "data": [""]})
    assert answer.status_code == 500
    assert SHOWN in json.loads(answer.text)["error"]
    assert "<img" not in answer.text


def test_strangers_learn_no_paths(page, tmp_path, monkeypatch):
    from studio.ui.access.toast_text import toast_text, without_paths

    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "my home"))
    text = f"{tmp_path}/my home/models/a b.png and /etc/ssl/key.pem, C:\\Users\\ada\\x.png: see https://a.example/b/c or 1/2 and and/or."
    assert without_paths(text) == "a b.png and key.pem, x.png: see https://a.example/b/c or 1/2 and and/or."
    assert str(tmp_path) in toast_text(text, strangers=False)


def test_the_studio_is_built_of_these_blocks():
    builds = [p for p in (ROOT / "studio").rglob("*.py") if "gr.Blocks(" in p.read_text()]
    assert builds == [], "AppBlocks keeps HTML out of toasts, gr.Blocks does not"

"""The Classes tab without a browser: what two requests at the same time leave behind."""

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import gradio as gr

from studio.ui.classes.state import ClassSettings
from studio.ui.classes.tab import ClassesTab
from studio.ui.components.tab import Page
from studio.ui.session import Session


def test_a_drawing_that_was_overtaken_changes_nothing(engine, monkeypatch):
    with gr.Blocks():
        tab = ClassesTab(Page(engine, gr.State()))
    session = Session()
    state = tab.state_of(session)
    state.model, state.chosen = "tiny-classes", [0]
    rendered, go_on, render_many = threading.Event(), threading.Event(), engine.render_many

    def held_up(recipes, **how):
        pictures = render_many(recipes, **how)
        if not rendered.is_set():
            rendered.set()
            assert go_on.wait(60)
        return pictures

    monkeypatch.setattr(engine, "render_many", held_up)
    with ThreadPoolExecutor() as pool:
        old = pool.submit(tab.pictures.draw, session, ClassSettings("blend", 5, 0.7, 8, (1.0,)))
        assert rendered.wait(60)
        state.chosen = [0, 2]
        shown = tab.pictures.draw(session, ClassSettings("blend", 5, 0.7, 8, (1.0, 1.0)))
        go_on.set()
        assert isinstance(old.exception(), CancelledError)
    assert "kind 0 and kind 2, seed 5" in shown[tab.stage]
    assert [len(c.classes) for c in state.cells] == [2] * 8


def test_a_chip_whose_pictures_were_overtaken_is_still_marked(engine, monkeypatch):
    with gr.Blocks():
        tab = ClassesTab(Page(engine, gr.State()))
    session = Session()
    tab._choose_model(session, "tiny-classes", "blend", 5, 0.7, 8, 1.0)

    def overtaken(*args, **how):
        raise CancelledError

    monkeypatch.setattr(engine, "render_many", overtaken)
    press = gr.EventData(None, {"index": 2})
    shown = tab.chips._press(session, press, "blend", 5, 0.7, 8, *[1.0] * 8)
    assert set(shown) <= set(tab.chosen_outputs)
    assert shown[tab.chips.grid].count('class="on"') == 2
    assert shown[tab.pictures.weights[1]]["label"] == "Weight of kind 2"
    assert not {tab.stage, tab.pictures.grid} & set(shown)

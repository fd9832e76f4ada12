"""Sessions in memory: however many come, few stay, and nothing of those that go."""

import gc
import inspect
import weakref

import gradio as gr
import pytest
from gradio.state_holder import SessionState, StateHolder

from studio.ui.access.app_blocks import AppBlocks
from studio.ui.access.app_sessions import MOST_CALLS, MOST_OF_ONE, MOST_SESSIONS, LightSession


class Owned:
    """What a session has."""


@pytest.fixture
def page():
    """(app, its sessions, id of its state, values that were forgotten)."""
    forgotten = []
    with AppBlocks() as app:
        state = gr.State(delete_callback=lambda value: forgotten.append(value and id(value)))
        gr.Button().click(lambda s: s, state, state)
    app.queue(max_size=8)
    app.limit_sessions(lambda session: session.partition("/")[0] if "/" in session else "")
    return app, app.app.state_holder, state._id, forgotten


def test_of_3000_pages_few_stay(page):
    app, sessions, state, forgotten = page
    alive = []
    for i in range(3000):
        owned = Owned()
        alive.append(weakref.ref(owned))
        sessions[f"page {i}"][state] = owned
        app._queue.pending_event_ids_session[f"page {i}"] = set()
    del owned
    gc.collect()
    assert len(sessions.session_data) == len(sessions.time_last_used) == MOST_SESSIONS
    assert len(app._queue.pending_event_ids_session) == MOST_SESSIONS
    assert sum(ref() is not None for ref in alive) == MOST_SESSIONS
    assert len(forgotten) == 3000 - MOST_SESSIONS, "each is forgotten once"
    assert "page 2999" in sessions
    assert "page 0" not in sessions


def test_the_least_recently_used_goes_first(page):
    _, sessions, state, _ = page
    for i in range(MOST_SESSIONS):
        sessions[f"page {i}"][state] = Owned()
    sessions["page 0"]
    sessions["one more"][state] = Owned()
    assert "page 0" in sessions
    assert "page 1" not in sessions


def test_one_visitor_has_few_of_them(page):
    _, sessions, state, _ = page
    sessions["other/0"][state] = Owned()
    for i in range(200):
        sessions[f"flood/{i}"][state] = Owned()
    assert "other/0" in sessions
    assert len(sessions.session_data) == MOST_OF_ONE + 1


def test_calls_without_a_page_push_no_page_out(page):
    _, sessions, state, _ = page
    sessions["page"][state] = Owned()
    for i in range(1000):
        sessions[f"call {i}"]
    assert "page" in sessions
    assert len(sessions.session_data) <= MOST_CALLS + 1


def test_a_page_at_work_goes_last(page):
    app, sessions, state, _ = page
    app._queue.pending_event_ids_session["busy"] = {"event"}
    sessions["busy"][state] = Owned()
    for i in range(MOST_SESSIONS + 5):
        sessions[f"page {i}"][state] = Owned()
    assert "busy" in sessions


def test_a_page_that_was_closed_leaves_nothing(page):
    _, sessions, state, forgotten = page
    sessions["page"][state] = Owned()
    sessions["page"].STATE_TTL_WHEN_CLOSED = -1
    sessions.delete_all_expired_state()
    assert "page" in sessions
    sessions["page"].is_closed = True
    sessions.delete_all_expired_state()
    assert "page" not in sessions
    assert len(forgotten) == 1


def test_gradio_still_remembers_sessions_there():
    assert "self.update(session_id)" in inspect.getsource(StateHolder.__getitem__)
    assert {"session_data", "time_last_used", "lock", "delete_state", "delete_all_expired_state"} <= set(dir(StateHolder())), (
        "StateHolder of Gradio has changed: see ui/access/app_sessions.py"
    )
    assert "app.state_holder[" in inspect.getsource(__import__("gradio.route_utils").route_utils)


def test_a_session_has_all_that_gradios_has(page):
    app, sessions, state, _ = page
    ours, gradios = LightSession(app), SessionState(app)
    assert vars(ours).keys() == vars(gradios).keys(), "SessionState of Gradio has changed: see ui/access/app_sessions.py"
    assert {name: vars(ours)[name] for name in ("state_data", "_state_ttl", "is_closed", "STATE_TTL_WHEN_CLOSED")} == {
        name: vars(gradios)[name] for name in ("state_data", "_state_ttl", "is_closed", "STATE_TTL_WHEN_CLOSED")
    }
    for session in (ours, gradios):
        session[state] = "kept"
        button = next(id for id, block in app.blocks.items() if isinstance(block, gr.Button))
        changed = gr.Button("other", render=False)
        session[button] = changed
        session._update_config(button)
        session._update_value_in_config(button, "value")
        assert session[state] == "kept"
        assert session[button] is changed
        assert app.blocks[button] is not changed, "others see their own"
        assert [(block._id, value) for block, value, _ in session.state_components] == [(state, "kept")]
    assert isinstance(sessions["a page"], LightSession)

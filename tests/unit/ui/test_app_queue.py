"""Turns in the queue of events: whoever sends a lot keeps nobody else waiting. Events are queued and taken as Gradio does it."""

import asyncio
import inspect
from collections import Counter

import gradio as gr
import pytest
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue

from studio.ui.access.app_blocks import AppBlocks
from studio.ui.access.app_queue import MOST_LIGHT

WORK, LIGHT = 0, 1


class Desk:
    """The queue of a page with long work and a light event, and what runs of them."""

    def __init__(self, places: int | None = 64, limit: int | None = 2, known: bool = True):
        with AppBlocks() as app:
            gr.Button().click(lambda: None, concurrency_id="work", concurrency_limit="default")
            gr.Button().click(lambda: None, concurrency_limit=None)
        if known:
            app.visitor_of = lambda request, username: request
        app.queue(max_size=places, default_concurrency_limit=limit)
        self.queue = app._queue
        self.queue.active_jobs = [None] * self.queue.max_thread_count

    def ask(self, visitor: str, fn: int = WORK) -> str:
        """Send an event; returns what became of it."""
        body = PredictBodyInternal(session_hash=f"session of {visitor}", fn_index=fn, data=[])
        return asyncio.run(self.queue.push(body, visitor, None))[2]

    def start(self) -> str | None:
        """Begin the next event; returns whose it is."""
        found = self.queue.get_events()
        if found is None:
            return None
        events, _, id = found
        self.queue.active_jobs[self.queue.active_jobs.index(None)] = events
        self.queue.event_queue_per_concurrency_id[id].current_concurrency += 1
        return events[0].request

    def end(self, visitor: str) -> None:
        """End an event of a visitor that runs."""
        i = next(i for i, job in enumerate(self.queue.active_jobs) if job and job[0].request == visitor)
        job, self.queue.active_jobs[i] = self.queue.active_jobs[i], None
        self.queue.event_queue_per_concurrency_id[job[0].fn.concurrency_id].current_concurrency -= 1

    def waiting(self) -> Counter:
        return Counter(e.request for q in self.queue.event_queue_per_concurrency_id.values() for e in q.queue)


def test_one_who_floods_keeps_nobody_waiting():
    desk = Desk()
    assert Counter(desk.ask("flood") for _ in range(64)) == {"success": 8, "error": 56}
    assert [desk.start(), desk.start()] == ["flood", None], "half of what may run is left for others"
    for _ in range(20):
        assert desk.ask("other") == "success"
        assert desk.start() == "other", "at once, as in a quiet studio"
        desk.end("other")
        desk.end("flood")
        desk.ask("flood")
        assert desk.start() == "flood"


def test_with_one_place_to_run_visitors_take_turns():
    desk = Desk(limit=1)
    for _ in range(8):
        desk.ask("a")
    for _ in range(3):
        desk.ask("b")
    order = []
    while (who := desk.start()) is not None:
        order.append(who)
        desk.end(who)
    assert order == ["a", "b", "a", "b", "a", "b", "a", "a", "a", "a", "a"]


def test_many_who_flood_lock_nobody_out():
    desk = Desk(places=16)
    for i in range(8):
        desk.ask(f"flood {i}"), desk.ask(f"flood {i}")
    assert sum(desk.waiting().values()) == 16
    assert desk.ask("newcomer") == "success"
    assert desk.waiting()["newcomer"] == 1
    assert sum(desk.waiting().values()) == 16, "one of those who had two has one now"
    turned_away = [
        m for messages in desk.queue.pending_messages_per_session.values() for m in messages._queue if m.msg == "process_completed"
    ]
    assert len(turned_away) == 1
    assert not turned_away[0].success
    assert "Try again" in turned_away[0].output["error"]


def test_a_full_queue_of_equals_is_full():
    desk = Desk(places=4)
    assert [desk.ask(str(i)) for i in range(5)] == ["success"] * 4 + ["queue_full"]


def test_light_events_need_no_place_and_run_in_turn_too():
    desk = Desk(places=8)
    for i in range(8):
        desk.ask(str(i))
    assert {desk.ask("flood", LIGHT) for _ in range(200)} == {"success"}
    started = [desk.start() for _ in range(60)]
    assert Counter(started)["flood"] == MOST_LIGHT
    assert desk.ask("other", LIGHT) == "success"
    assert desk.start() == "other"


def test_on_ones_own_machine_nothing_is_limited():
    desk = Desk(places=None, limit=None, known=False)
    assert {desk.ask("", fn) for fn in (WORK, LIGHT) * 50} == {"success"}
    assert sum(desk.start() is not None for _ in range(40)) == 40, "as many as Gradio has threads"


@pytest.mark.parametrize(
    ("of", "name", "parameters"),
    [
        (Queue, "push", ["self", "body", "request", "username"]),
        (Queue, "get_events", ["self"]),
        (Queue, "log_message", ["self", "event_id", "log", "title", "level", "duration", "visible"]),
        (Queue, "remove_from_queue", ["self", "event_id"]),
        (Queue, "send_message", ["self", "event", "event_message"]),
        (Queue, "compute_analytics_summary", ["self", "records"]),
        (Event, "__init__", ["self", "session_hash", "fn", "request", "username"]),
        (gr.Blocks, "process_api", None),
    ],
)
def test_what_is_overridden_is_still_there(of, name, parameters):
    found = list(inspect.signature(getattr(of, name)).parameters)
    assert parameters is None or found == parameters, f"{of.__name__}.{name} of Gradio has changed: see ui/access/app_queue.py"


def test_gradio_still_takes_events_and_texts_through_these():
    source = inspect.getsource(Queue.start_processing)
    assert "self.get_events()" in source
    assert "self.active_jobs" in source
    assert "_queue.push(" in inspect.getsource(__import__("gradio.routes").routes)
    assert "_queue.log_message(" in inspect.getsource(__import__("gradio.helpers").helpers.log_message)
    assert ".process_api(" in inspect.getsource(__import__("gradio.route_utils").route_utils.call_process_api)

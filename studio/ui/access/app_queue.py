"""Gradio's queue of events, with turns: nobody who sends a lot keeps others waiting."""

import math
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, EventQueue, Queue
from gradio.server_messages import ProcessCompletedMessage
from starlette.requests import Request

from studio.ui.access.toast_text import toast_text

MOST_LIGHT = 8  # events of one visitor that run at the same time, besides long work
_SHARE = 8  # of the places for waiting work one visitor may take one in so many
_KEPT = 10_000  # visitors whose last turn is remembered


def no_visitor(request: Request | None, username: str | None) -> str:
    """Everybody counts as one person, as on one's own machine."""
    return ""


class AppQueue(Queue):
    """Gradio's queue of events. What a handler says meanwhile is escaped (see `toast_text`).

    visitor_of: (request, user name) -> who sent it; '' = nobody in particular, whom no limit holds. Events of different visitors run in
    turn: next is whoever has least running, and of those whoever has waited longest. Of long work (that with a limit) one visitor
    runs at most half of what may run, and has an eighth of the places for waiting; of other events, which need no place, at most
    MOST_LIGHT run.
    max_size: places for long work that waits, None = no limit. When all are taken, a newcomer takes the place of the newest work of
    whoever has most waiting.
    strangers: see `toast_text`.
    """

    def __init__(
        self, *args: Any, max_size: int | None, visitor_of: Callable[..., str] = no_visitor, strangers: bool = False, **kwargs: Any
    ):
        super().__init__(*args, max_size=None, **kwargs)  # Gradio's limit counts every event
        self.places, self.visitor_of, self.strangers = max_size, visitor_of, strangers
        self._visitors: weakref.WeakKeyDictionary[Event, str] = weakref.WeakKeyDictionary()
        self._last_turn: dict[str, int] = {}  # visitor -> number of it
        self._turns = 0

    def log_message(self, event_id: str, log: str, title: str, *args: Any, **kwargs: Any) -> None:
        """Send a warning or a note to the page."""
        super().log_message(event_id, toast_text(str(log), self.strangers), toast_text(str(title), self.strangers), *args, **kwargs)

    def compute_analytics_summary(self, records: Any) -> dict:
        """Nothing: Gradio would go through all events of before after each one, for a page that is not used here."""
        return {}

    def whose(self, event: Event) -> str:
        """The visitor who sent an event."""
        if event not in self._visitors:
            self._visitors[event] = self.visitor_of(event.request, event.username)
        return self._visitors[event]

    async def push(self, body: PredictBodyInternal, request: Request, username: str | None) -> Any:
        """Add an event, as Gradio's does. Returns (False, a sentence, 'error' or 'queue_full') when there is no place for it."""
        fn = self.blocks.fns.get(body.fn_index) if body.fn_index is not None else None
        if self.places is not None and fn is not None and self._is_work(fn):
            work = self._waiting_work()
            waiting, visitor = Counter(self.whose(e) for e in work), self.visitor_of(request, username)
            if visitor and waiting[visitor] >= max(1, self.places // _SHARE):
                return False, f"Your limit of waiting work is reached ({waiting[visitor]}). Wait for some of it, or stop it.", "error"
            if len(work) >= self.places:
                most = max(waiting, key=lambda v: waiting[v])
                if not visitor or waiting[most] <= waiting[visitor] + 1:
                    return False, "Queue is full. Try again in a moment.", "queue_full"
                await self._turn_away(next(e for e in reversed(work) if self.whose(e) == most))
        return await super().push(body, request, username)

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The event that is next to run, taken out of the queue."""
        at_work = [event for job in self.active_jobs if job for event in job]
        busy = Counter((self.whose(e), self._is_work(e.fn)) for e in at_work)
        found: tuple[tuple, Event, EventQueue] | None = None
        for queue in self.event_queue_per_concurrency_id.values():
            limit = queue.concurrency_limit
            if not queue.queue or (limit is not None and queue.current_concurrency >= limit):
                continue
            most = MOST_LIGHT if limit is None else math.ceil(limit / 2)
            for event in queue.queue:
                visitor = self.whose(event)
                mine = busy[visitor, limit is not None]
                if visitor and mine >= most:
                    continue
                rank = (mine, self._last_turn.get(visitor, 0), event.enqueue_time)
                if found is None or rank < found[0]:
                    found = rank, event, queue
        if found is None:
            return None
        _, event, queue = found
        queue.queue.remove(event)
        self._turns += 1
        self._last_turn.pop(self.whose(event), None)
        self._last_turn[self.whose(event)] = self._turns
        if len(self._last_turn) > _KEPT:
            del self._last_turn[next(iter(self._last_turn))]
        return [event], False, queue.concurrency_id

    def _is_work(self, fn: Any) -> bool:
        limit = fn.concurrency_limit
        return (self.default_concurrency_limit if limit == "default" else limit) is not None

    def _waiting_work(self) -> list[Event]:
        found = [e for q in self.event_queue_per_concurrency_id.values() if q.concurrency_limit is not None for e in q.queue]
        return sorted(found, key=lambda e: e.enqueue_time)

    async def _turn_away(self, event: Event) -> None:
        """Take an event out of the queue and tell its page."""
        await self.remove_from_queue(event._id)
        message = "Many people want something at the moment, and you had most waiting: this was taken out. Try again in a moment."
        self.send_message(event, ProcessCompletedMessage(output={"error": message, "visible": True}, success=False))

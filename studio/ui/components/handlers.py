"""Handlers of events: how they are wired, and how errors reach people."""

import functools
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import gradio as gr

from studio.errors import StudioError

log = logging.getLogger(__name__)

# A handler of ours is no part of the public API, and shows no spinner over the picture.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
# Only the newest wish waits. What several controls change alike is one `gr.on` of them all, for answers to two handlers may come
# in any order, and the older one would stay.
LIVE: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
# Long work tells its progress. How much of it goes on at once is for the queue to say; what waits can still be stopped.
WORK: dict[str, Any] = {"show_progress": "full", "api_visibility": "private", "concurrency_id": "work", "concurrency_limit": "default"}


def friendly(fn: Callable) -> Callable:
    """Tell an expected failure as a toast; anything else goes to the log, with a short sentence on the screen.

    A picture that was overtaken by a newer wish changes nothing.
    """

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        try:
            return fn(*args, **kwargs)
        except CancelledError:
            return gr.skip()
        except StudioError as e:
            raise gr.Error(str(e), print_exception=False) from None
        except gr.Error:
            raise
        except Exception:
            log.exception("%s failed", fn.__name__)
            raise gr.Error(
                "Something went wrong that should not. The studio's log has the details; your work is kept.", print_exception=False
            ) from None

    wrapper.__signature__ = inspect.signature(fn)  # Gradio looks for parameters such as gr.Request
    return wrapper


def streaming(fn: Callable) -> Callable:
    """`friendly` for a handler that gives one result after another, or none."""

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        steps, over = fn(*args, **kwargs), object()
        yield gr.skip()  # where nothing is given at all Gradio empties the outputs

        def following():
            return next(steps, over)

        while (result := friendly(following)()) is not over:
            yield result

    return wrapper

"""Handlers of events: how they are wired, and how errors reach people."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import gradio as gr
from gradio.blocks import Block

from studio.common.files import storage_problem
from studio.errors import StudioError

log = logging.getLogger(__name__)

# What a handler returns: component -> its new value, or gr.update(...). An empty dict changes nothing.
Outputs = dict[Block, Any]

# Handlers are not part of the public API, and show no spinner over the picture.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
# While a handler runs only the newest request waits. Where several controls change the same components, one `gr.on` listens to all of
# them: answers of two handlers may arrive in any order, and the older one would stay.
LIVE: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
# Long work shows its progress. The queue limits how much of it runs at once; work that waits can be stopped too.
WORK: dict[str, Any] = {"show_progress": "full", "api_visibility": "private", "concurrency_id": "work", "concurrency_limit": "default"}


UNEXPECTED = "Something went wrong that should not have. The studio's log has the details; your work is safe."


def friendly(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The handler with its errors shown to people: a StudioError as a toast; a full disk and a folder that may not be written in
    a sentence; anything else goes to the log, with a short sentence on the screen.
    A CancelledError changes nothing (a newer request has overtaken this one), and neither does an empty dict.
    """

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        try:
            result = fn(*args, **kwargs)
            return gr.skip() if isinstance(result, dict) and not result else result
        except CancelledError:
            return gr.skip()
        except StudioError as e:
            raise gr.Error(str(e), print_exception=False) from None
        except gr.Error:
            raise
        except Exception as e:
            log.exception("%s failed", fn.__name__)
            raise gr.Error(str(storage_problem(e) or UNEXPECTED), print_exception=False) from None

    # Gradio looks there for parameters such as gr.Request.
    wrapper.__signature__ = inspect.signature(fn)  # pyright: ignore[reportAttributeAccessIssue]  # as PEP 362 has it
    return wrapper


def streaming(fn: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """`friendly` for a generator: a handler with one result after another, or none."""

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        results, over = fn(*args, **kwargs), object()
        yield gr.skip()  # a generator without any result would empty the outputs

        def following():
            return next(results, over)

        while (result := friendly(following)()) is not over:
            yield result

    return wrapper


def event_value(event: gr.EventData, name: str) -> Any:
    """The value of this name that the page sent with an event, None if there is none. It can be anything: check it."""
    try:
        return getattr(event, name, None)
    except TypeError:  # the event came without data
        return None

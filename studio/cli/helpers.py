"""Helpers of several verbs: an engine, progress lines, and the type of the function that adds a verb."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator

from studio.common.progress import StageProgress
from studio.errors import StudioError

AddVerb = Callable[[str, str, str], argparse.ArgumentParser]  # (name, sentence, example) -> the verb's parser


def open_engine(device: str | None):
    """Create an engine; warnings about signing go to standard error."""
    from studio.common.log import show_warnings
    from studio.engine.engine import Engine
    from studio.provenance.signing import LOG

    show_warnings(LOG, lambda text: print(f"studio: {text}", file=sys.stderr))
    return Engine(device=device)


def model_id(engine, wanted: str | None, task=None) -> str:
    """Id of the wanted model, or of the first one for a task (default: generate). Raises StudioError when there is none."""
    from studio.networks import Task

    if wanted:
        return engine.library.get(wanted).id
    task = task or Task.GENERATE
    found = next((m.id for m in engine.library.scan()[0] if m.task is task), None)
    if found is None:
        raise StudioError(f"There is no model yet that can {task.value}.", "Import one with 'studio import FILE', or train one.")
    return found


@contextlib.contextmanager
def progress_line() -> Iterator[StageProgress]:
    """A progress line on the terminal: the stage, and megabytes done; nothing where standard error is not a terminal."""
    width, shown = 0, ""

    def show(what: str, done: int, total: int | None) -> None:
        nonlocal width, shown
        parts = f" {done / 1e6:,.1f} MB" + (f" of {total / 1e6:,.1f} MB ({done / total:.0%})" if total else "") if done else " ..."
        line = f"{what}{parts}"
        if line != shown and sys.stderr.isatty():
            print(f"\r{line:<{width}}", end="", file=sys.stderr, flush=True)
            width, shown = max(width, len(line)), line

    try:
        yield show
    finally:
        if width:
            print(f"\r{'':<{width}}\r", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def percent_line() -> Iterator[Callable[[str, int, int], None]]:
    """A progress line on the terminal: a name, and the percentage done; nothing where standard error is not a terminal."""
    width = 0

    def show(name: str, done: int, total: int) -> None:
        nonlocal width
        if sys.stderr.isatty():
            line = f"{name}: {done / total:.0%}" if total else f"{name}: {done:,}"
            print(f"\r{line:<{width}}", end="", file=sys.stderr, flush=True)
            width = max(width, len(line))

    try:
        yield show
    finally:
        if width:
            print(f"\r{'':<{width}}\r", end="", file=sys.stderr, flush=True)

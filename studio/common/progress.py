"""Progress and cancelling of long work: the types of the callbacks, and how they are called."""

from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import ParamSpec, TypeAlias

P = ParamSpec("P")

# What the callbacks return is ignored.

# Called with (done, total). The unit (pictures, bytes, rows) is up to the work; a total of 0 means that it is not known.
Progress: TypeAlias = Callable[[int, int], object]

# Called with (done, total, name of the item that is next).
ItemProgress: TypeAlias = Callable[[int, int, str], object]

# Called with (stage in a word, done, total or None when it is not known).
StageProgress: TypeAlias = Callable[[str, int, "int | None"], object]

# Asked again and again during the work; true ends it with CancelledError.
Cancel: TypeAlias = Callable[[], bool]


def raise_if_cancelled(cancel: Cancel | None) -> None:
    """Raise concurrent.futures.CancelledError if the caller asked the work to stop."""
    if cancel is not None and cancel():
        raise CancelledError()


def report(progress: Callable[P, object] | None, *args: P.args, **kwargs: P.kwargs) -> None:
    """Call `progress`, if there is one, with the other arguments."""
    if progress is not None:
        progress(*args, **kwargs)

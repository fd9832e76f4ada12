"""Progress of long work on the page, with the time that is left: one adapter from the studio's callbacks to `gr.Progress`."""

import math
import time
from collections.abc import Callable

import gradio as gr

_INTERVAL = 0.3  # seconds between two updates: thousands of them would keep the browser busy with nothing else
_WARM_UP = 2  # seconds before the time left is worth saying


class WorkProgress:
    """Progress bar of one piece of work, updated at most every 0.3 s.

    progress: Gradio's, as it is injected into a handler.  what: the words before the numbers.
    done: progress so far, in whatever unit the work counts.
    """

    def __init__(self, progress: gr.Progress, what: str = ""):
        self.progress, self.what, self.done = progress, what, 0.0
        self._began = time.perf_counter()
        self._shown = -math.inf

    def __call__(self, done: float, total: float, name: str = "") -> None:
        """Pieces of work.  total: 0 = unknown, 1 = `done` is a share in [0, 1].  name: of the piece at hand."""
        self.done = done
        if not self._due():
            return
        if not total:
            self.progress(None, desc=f"{self.what}: {done:.0f}")
            return
        count = f": {done:.0f} of {total:.0f}" if total > 1 else ""
        self.progress(done / total, desc=f"{self.what}{count}{f', {name}' if name else ''}{self._left(done, total)}")

    def transfer(self, what: str, done: int, total: int | None) -> None:
        """Bytes of a download or upload.  what: the words before the numbers; new ones are shown at once.  total: None = unknown."""
        if what != self.what:
            self.what, self._began, self._shown = what, time.perf_counter(), -math.inf
        self.done = done
        if not self._due():
            return
        if total:
            self.progress(done / total, desc=f"{what}: {bytes_in_words(done)} of {bytes_in_words(total)}{self._left(done, total)}")
        else:
            self.progress(None, desc=f"{what}: {bytes_in_words(done)}" if done else what)

    def part(self, index: int, parts: int) -> Callable[[int, int], None]:
        """Progress (done, total) of one of several equal parts, as a share of them all.  index: counted from 0."""
        return lambda done, total: self((index + done / total) / parts, 1)

    def _due(self) -> bool:
        now = time.perf_counter()
        if now - self._shown < _INTERVAL:
            return False
        self._shown = now
        return True

    def _left(self, done: float, total: float) -> str:
        spent = time.perf_counter() - self._began
        return f", {time_left(spent * (total - done) / done)} left" if done and spent > _WARM_UP else ""


def time_left(seconds: float) -> str:
    """Seconds in words, such as '40 s' or 'about 3 min'."""
    return f"{seconds:.0f} s" if seconds < 90 else duration(seconds)


def time_spent(seconds: float) -> str:
    """How long something took, to a tenth of a second where that is short."""
    return f"{seconds:.1f} s" if seconds < 90 else duration(seconds)


def duration(seconds: float) -> str:
    """Seconds rounded to minutes, one at least."""
    minutes = max(1, round(seconds / 60))
    hours, minutes = divmod(minutes, 60)
    return f"about {hours} h {minutes:02d} min" if hours else f"about {minutes} min"


def bytes_in_words(size: int) -> str:
    """A number of bytes in words, such as '1.2 MB'."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"

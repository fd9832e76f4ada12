"""Politeness on one device: while somebody drags a slider, training waits between two steps."""

import time
from collections.abc import Callable
from pathlib import Path

FRESH = 0.7  # seconds for which a mark counts
LONGEST = 5.0  # seconds that one step waits at the most, so that training goes on beside an endless walk
_OFTEN = 0.2  # seconds between two marks


class Throttle:
    """A mark in the studio's home that the app sets and workers look at.

    clock: seconds since the epoch, comparable with times of files.  sleep: waits so many seconds.
    """

    def __init__(self, home: Path, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep):
        self.path, self._clock, self._sleep = Path(home) / ".dragging", clock, sleep
        self._marked = 0.0

    def mark(self) -> None:
        """Somebody wants a picture now. Cheap enough to call for each one."""
        now = self._clock()
        if now - self._marked >= _OFTEN:
            self._marked = now
            try:
                self.path.touch()
            except OSError:
                pass  # politeness is no reason to fail

    def wait(self) -> float:
        """Wait while the mark is fresh, `LONGEST` at the most. Returns the seconds waited."""
        began = self._clock()
        while self._fresh() and self._clock() - began < LONGEST:
            self._sleep(0.05)
        return self._clock() - began

    def _fresh(self) -> bool:
        try:
            return 0 <= self._clock() - self.path.stat().st_mtime < FRESH
        except OSError:
            return False

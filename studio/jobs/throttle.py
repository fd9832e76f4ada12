"""Throttle of a training that shares a device with the app: it pauses between steps while somebody drags a slider."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

FRESH = 0.7  # seconds for which activity counts as fresh
LONGEST = 5.0  # most seconds that one step waits, so that training advances even during an endless animation
_INTERVAL = 0.2  # seconds between two touches of the file


class Throttle:
    """A file in the studio's home whose modification time says when a picture was last wanted: the app touches it, workers read it.

    clock: seconds since the epoch, comparable with file times.  sleep: waits that many seconds.
    """

    def __init__(self, home: Path, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep):
        self.path, self._clock, self._sleep = Path(home) / ".dragging", clock, sleep
        self._touched = 0.0

    def activity(self) -> None:
        """Note that a picture is wanted now. Cheap enough to call for every picture."""
        now = self._clock()
        if now - self._touched >= _INTERVAL:
            self._touched = now
            with contextlib.suppress(OSError):  # a picture must not fail because training cannot be slowed down
                self.path.touch()

    def wait(self) -> float:
        """Wait while activity is fresh, at most `LONGEST` seconds. Returns the seconds waited."""
        began = self._clock()
        while self._fresh() and self._clock() - began < LONGEST:
            self._sleep(0.05)
        return self._clock() - began

    def _fresh(self) -> bool:
        try:
            return 0 <= self._clock() - self.path.stat().st_mtime < FRESH
        except OSError:
            return False

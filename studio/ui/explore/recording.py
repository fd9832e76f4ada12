"""Recording of what is played in Explore: recipes and their times, not pixels, so that it can be rendered later at full quality."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.motion.motion import Motion
from studio.motion.paths import KeyFrame, KeyFrames
from studio.motion.timing import Duration

MOST = 1000  # moves kept; of a longer recording every second one goes, and again
_LONGEST = 600.0  # seconds


@dataclass
class Recording:
    """Moves of one model, each with its time in seconds.  ended: None while it goes on.  clock: seconds."""

    clock: Callable[[], float] = time.monotonic
    moves: list[tuple[float, Recipe]] = field(default_factory=list)
    ended: float | None = None
    elsewhere: int = 0  # moves of another model, which are not recorded
    _apart: float = 0.0  # seconds that two moves must lie apart

    def add(self, recipe: Recipe) -> None:
        """A move that was made just now. Those of another model, and after ten minutes, are not recorded."""
        now = self.clock()
        if self.ended is not None or (self.moves and now - self.moves[0][0] > _LONGEST):
            return
        if self.moves and recipe.model != self.moves[0][1].model:
            self.elsewhere += 1
            return
        if self.moves and now - self.moves[-1][0] < self._apart:
            self.moves[-1] = (self.moves[-1][0], recipe)
            return
        self.moves.append((now, recipe))
        if len(self.moves) > MOST:
            self.moves = self.moves[::2]
            self._apart = max(2 * self._apart, 1.5 * (now - self.moves[0][0]) / MOST)

    def end(self) -> None:
        """What comes now is no longer recorded."""
        if self.ended is None:
            self.ended = self.clock()

    @property
    def seconds(self) -> float:
        """Its length so far."""
        end = self.clock() if self.ended is None else self.ended
        return min(end - self.moves[0][0], _LONGEST) if self.moves else 0.0

    @property
    def moved(self) -> int:
        """Number of moves after the picture that it began with."""
        return max(0, len(self.moves) - 1)

    @property
    def summary(self) -> str:
        """What was recorded, in sentences."""
        left_out = " Moves of another model are not recorded." if self.elsewhere else ""
        if not self.moved:
            return f"Nothing was recorded.{left_out}"
        return f"Recorded: {self.seconds:.1f} seconds, {self.moved} move{'' if self.moved == 1 else 's'}.{left_out}"

    def motion(self, fps: float = 30.0) -> Motion:
        """The recording as a motion. Raises StudioError when nothing was recorded."""
        if not self.moved:
            if self.elsewhere:
                hint = "Press Record with the model that you want to play, and stay with it."
                raise StudioError("Nothing was recorded: the moves of another model are not recorded.", hint)
            raise StudioError("Nothing was recorded yet.", "Press Record, move or play something, and press it again.")
        times = [t for t, _ in self.moves]
        last = max(1 / fps, self.seconds - (times[-1] - times[0]))
        durations = [*(b - a for a, b in itertools.pairwise(times)), last]
        frames = tuple(KeyFrame(recipe=r, duration=Duration(d), easing="linear") for (_, r), d in zip(self.moves, durations, strict=True))
        return Motion(self.moves[0][1], KeyFrames(frames), duration=Duration(max(1 / fps, sum(durations))), fps=fps)

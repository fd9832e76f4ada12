"""Paths: ways of the latent over time. Key frames with an interpolation, a noise loop, a circle."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from studio.common.text import short_repr
from studio.engine.recipe import Recipe, Seed, number
from studio.errors import StudioError
from studio.latents.seeds import check_seed
from studio.motion.easing import eased
from studio.motion.plain_data import read_typed
from studio.motion.sources import check_easing
from studio.motion.timing import Clock, Duration, Time

INTERPOLATIONS = ("linear", "spline", "slerp")
_MAX_KEY_FRAMES = 4096


def _recipe(raw: Any) -> Recipe | None:
    return raw if raw is None or isinstance(raw, Recipe) else Recipe.from_dict(raw)


@dataclass(frozen=True)
class KeyFrame:
    """A picture on the way: a seed, with the settings of the motion's base; or a recipe of the same model with its own.

    duration: until the next key frame; 0 = a cut. The last one stays so long, in a loop it takes so long to return to the first.
    easing: of that way, of `easing.EASINGS`.
    """

    seed: Seed | None = None
    recipe: Annotated[Recipe | None, BeforeValidator(_recipe)] = None
    duration: Time = Duration(2)
    easing: str = "ease"

    def __post_init__(self):
        if (self.seed is None) == (self.recipe is None) or not isinstance(self.recipe, Recipe | None):
            raise StudioError("A key frame has no picture.", "Give it a seed or a recipe, not both.")
        if self.seed is not None:
            object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "duration", Duration.parse(self.duration))
        check_easing(self.easing)


class LatentPath:
    """Base of paths.  type: its name in JSON."""

    type: ClassVar[str]

    def seconds(self, fps: Any, bpm: float, loop: bool) -> float | None:
        """Its own length in seconds; None = as long as the motion."""
        return None


@dataclass(frozen=True)
class KeyFrames(LatentPath):
    """Pictures, and how the latent goes from one to the next.

    interpolation: 'linear' in w; 'spline', a curve in w without corners; 'slerp', the great circle in z, where each key frame is a seed.
    """

    frames: tuple[KeyFrame, ...]
    interpolation: str = "linear"
    type: ClassVar[str] = "key frames"

    def __post_init__(self):
        frames = self.frames if isinstance(self.frames, (tuple, list)) else (None,)
        if not 0 < len(frames) <= _MAX_KEY_FRAMES or not all(isinstance(f, KeyFrame) for f in frames):
            raise StudioError("The key frames cannot be used.", f"Give 1 to {_MAX_KEY_FRAMES} key frames, each with a seed or a recipe.")
        object.__setattr__(self, "frames", tuple(frames))
        if self.interpolation not in INTERPOLATIONS:
            raise StudioError(f"There is no interpolation {short_repr(self.interpolation)}.", f"Choose one of {', '.join(INTERPOLATIONS)}.")

    def seconds(self, fps: Any, bpm: float, loop: bool) -> float | None:
        """As of `LatentPath`: the sum of the durations."""
        return sum(f.duration.seconds(fps, bpm) for f in self.frames) or None

    def locate(self, seconds: float, clock: Clock) -> tuple[int, float]:
        """Where the path is at a time: (key frame before it, part of the way to the next, in [0, 1]).

        In a loop the key frames are stretched until a whole number of rounds fits. Otherwise they end at the last one.
        """
        durations = [clock.seconds(f.duration) for f in self.frames]
        if clock.loop:
            total = sum(durations)
            if total <= 0:
                return 0, 0.0
            seconds = (seconds / clock.length * clock.rounds(total)) % 1.0 * total
        else:
            durations[-1] = 0.0
        begin = 0.0
        for k, duration in enumerate(durations):
            if seconds < begin + duration:
                return k, eased(self.frames[k].easing, (seconds - begin) / duration)
            begin += duration
        return len(durations) - 1, 0.0


@dataclass(frozen=True)
class NoiseLoop(LatentPath):
    """A closed way through z: each of its numbers is simplex noise along a circle.

    seed: of the noise.  diameter: of the circle, in units of the noise: the larger, the more happens on a round.
    period: of a round; None = as long as the motion.
    """

    seed: Seed = 0
    diameter: float = 1.0
    period: Annotated[Duration | None, BeforeValidator(lambda raw: None if raw is None else Duration.parse(raw))] = None
    type: ClassVar[str] = "noise loop"

    def __post_init__(self):
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "diameter", number(self.diameter, 0.001, 1000, "The diameter of a noise loop"))
        object.__setattr__(self, "period", _round(self.period))


@dataclass(frozen=True)
class Circle(LatentPath):
    """A great circle in z, through two seeds: the first at the beginning, the second near a quarter of the way, and their opposites.

    period: of a round; None = as long as the motion.
    """

    seeds: tuple[Seed, Seed] = (0, 1)
    period: Annotated[Duration | None, BeforeValidator(lambda raw: None if raw is None else Duration.parse(raw))] = None
    type: ClassVar[str] = "circle"

    def __post_init__(self):
        seeds = self.seeds if isinstance(self.seeds, (tuple, list)) else ()
        if len(seeds) != 2 or check_seed(seeds[0]) == check_seed(seeds[1]):
            raise StudioError("A circle goes through two seeds.", "Give two different ones.")
        object.__setattr__(self, "seeds", (check_seed(seeds[0]), check_seed(seeds[1])))
        object.__setattr__(self, "period", _round(self.period))


def part_of_round(path: NoiseLoop | Circle, seconds: float, clock: Clock) -> float:
    """How far a path is on its round at a time, in [0, 1); in a loop a whole number of rounds fits."""
    if path.period is None:
        return seconds / clock.length % 1.0
    return seconds / clock.length * clock.rounds(clock.seconds(path.period)) % 1.0


def _round(period: Any) -> Duration | None:
    if period is None:
        return None
    period = Duration.parse(period)
    if period.value <= 0:
        raise StudioError("A round takes no time.", "Give it a period above 0.")
    return period


PATHS: dict[str, type[LatentPath]] = {p.type: p for p in (KeyFrames, NoiseLoop, Circle)}


def path_from(raw: Any) -> LatentPath | None:
    """A path from plain data: its fields, and 'type'. Raises StudioError."""
    return None if raw is None else read_typed(LatentPath, PATHS, raw, "path")


AnyPath = Annotated[Any, BeforeValidator(path_from)]  # as a field of what is read from JSON

"""Sources: what moves a parameter. Each is a value in [0, 1] at any time, and depends on nothing but the time.

So a film can be rendered from any frame on, and live and film are the same. In a loop every source comes back to where it began:
periods are fitted to a whole number, and a random walk is bent back. Sources that only exist live (MIDI, keys, a hand) are in the page,
`ui/static/play.js`; what they moved gets into a film as key frames, by recording it.
"""

import functools
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator

from studio.common.text import short_repr
from studio.engine.recipe import Seed, number
from studio.errors import StudioError
from studio.latents.noise import hashed, noise_circle, noise_line
from studio.latents.seeds import check_seed
from studio.motion.easing import EASINGS
from studio.motion.features import AudioFeatures, check_feature
from studio.motion.plain_data import read_typed
from studio.motion.timing import Clock, Duration, Time

SHAPES = ("sine", "triangle", "saw", "square", "random", "noise")
_MAX_POINTS = 1024
_MAX_WALK = 1 << 20  # steps; then the walk begins again
_SHORTEST = 0.001  # seconds of a period


@dataclass(frozen=True)
class Scene:
    """What sources look at besides the time.  clock: of the motion.  features: of its sound, or None."""

    clock: Clock
    features: AudioFeatures | None = None


class Source:
    """Base of sources.  type: its name in JSON."""

    type: ClassVar[str]

    def values(self, times: np.ndarray, scene: Scene) -> np.ndarray:
        """Values (N,) in [0, 1] at times (N,) in seconds from 0 to the motion's length."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Source):
    """Always the same.  value: in [0, 1]."""

    value: float = 1.0
    type: ClassVar[str] = "constant"

    def __post_init__(self):
        object.__setattr__(self, "value", number(self.value, 0, 1, "The value of a constant"))

    def values(self, times: np.ndarray, scene: Scene) -> np.ndarray:
        """As of `Source`."""
        return np.full(len(times), self.value)


@dataclass(frozen=True)
class Ramp(Source):
    """The time: 0 at the beginning, 1 at the end. A loop jumps back."""

    type: ClassVar[str] = "time"

    def values(self, times: np.ndarray, scene: Scene) -> np.ndarray:
        """As of `Source`."""
        return np.clip(times / scene.clock.length, 0, 1)


@dataclass(frozen=True)
class LFO(Source):
    """Low-frequency oscillator.

    shape: 'sine', 'triangle' and 'saw' begin at 0; 'square' is 0, then 1; 'random' is another value every period (sample and hold);
    'noise' is smooth noise, with a bump or so every period.
    period: of one oscillation.  phase: in periods.  seed: of 'random' and 'noise'.
    """

    shape: str = "sine"
    period: Time = Duration(4)
    phase: float = 0.0
    seed: Seed = 0
    type: ClassVar[str] = "lfo"

    def __post_init__(self):
        if self.shape not in SHAPES:
            raise StudioError(f"There is no oscillator {short_repr(self.shape)}.", f"Choose one of {', '.join(SHAPES)}.")
        object.__setattr__(self, "period", _period(self.period, "The period of an oscillator"))
        object.__setattr__(self, "phase", number(self.phase, -1000, 1000, "The phase of an oscillator"))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def values(self, times: np.ndarray, scene: Scene) -> np.ndarray:
        """As of `Source`."""
        clock = scene.clock
        rounds = clock.rounds(max(_SHORTEST, clock.seconds(self.period)))
        position = times / clock.length * rounds + self.phase
        cycle = np.floor(position)
        part = position - cycle
        if self.shape == "sine":
            return 0.5 - 0.5 * np.cos(2 * np.pi * part)
        if self.shape == "triangle":
            return 1 - np.abs(2 * part - 1)
        if self.shape == "saw":
            return part
        if self.shape == "square":
            return np.where(part < 0.5, 0.0, 1.0)
        if self.shape == "random":
            return hashed(cycle % rounds if clock.loop else cycle, self.seed)
        noise = noise_circle(self.seed, position / rounds, rounds / np.pi) if clock.loop else noise_line(self.seed, position)
        return np.clip(0.5 + 0.6 * noise, 0, 1)  # the noise rarely leaves +-0.8


@dataclass(frozen=True)
class RandomWalk(Source):
    """Random walk: steps of normal size, reflected at 0 and 1, along a curve without corners.

    pace: time of a step.  step: standard deviation of a step.  seed: the same walk again.
    A loop walks a Brownian bridge: every step takes its share of the way back.
    """

    pace: Time = Duration(0.5)
    step: float = 0.15
    seed: Seed = 0
    type: ClassVar[str] = "random walk"

    def __post_init__(self):
        object.__setattr__(self, "pace", _period(self.pace, "The pace of a random walk"))
        object.__setattr__(self, "step", number(self.step, 0, 1, "The step of a random walk"))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def values(self, times: np.ndarray, scene: Scene) -> np.ndarray:
        """As of `Source`."""
        clock = scene.clock
        rounds = clock.rounds(max(_SHORTEST, clock.seconds(self.pace)))
        rounds = min(rounds, _MAX_WALK - 1.0) if clock.loop else rounds
        position = times / clock.length * rounds
        index = np.floor(position).astype(np.int64)
        part = position - index

        def at(n: np.ndarray) -> np.ndarray:
            if not clock.loop:
                n = np.maximum(n, 0) % _MAX_WALK
                return _walk(self.seed, _power_of_two(int(n.max()) + 1))[n]
            count = int(rounds)
            walk, n = _walk(self.seed, _power_of_two(count + 1)), n % count
            return walk[n] - n / count * walk[count]

        # Catmull-Rom, as of `latents.interpolation.spline`.
        a, b, c, d = (at(index + i) for i in (-1, 0, 1, 2))
        way = b + 0.5 * part * ((c - a) + part * ((2 * a - 5 * b + 4 * c - d) + part * (3 * (b - c) + d - a)))
        return 1 - np.abs((0.5 + self.step * way) % 2 - 1)


@dataclass(frozen=True)
class Point:
    """A point of an envelope.  at: time.  value: in [0, 1].  easing: of the way to the next point."""

    at: Time
    value: float
    easing: str = "linear"

    def __post_init__(self):
        object.__setattr__(self, "at", Duration.parse(self.at))
        object.__setattr__(self, "value", number(self.value, 0, 1, "The value of a point"))
        check_easing(self.easing)


@dataclass(frozen=True)
class Envelope(Source):
    """Key frames of a value. Before the first point and after the last it stays.  points: in any order; a later one wins at equal times."""

    points: tuple[Point, ...]
    type: ClassVar[str] = "envelope"

    def __post_init__(self):
        points = self.points if isinstance(self.points, (tuple, list)) else (None,)
        if not 0 < len(points) <= _MAX_POINTS or not all(isinstance(p, Point) for p in points):
            raise StudioError("An envelope has no usable points.", f"Give 1 to {_MAX_POINTS} points with a time and a value.")
        object.__setattr__(self, "points", tuple(points))

    def values(self, times: np.ndarray, scene: Scene) -> np.ndarray:
        """As of `Source`."""
        points = sorted(self.points, key=lambda p: scene.clock.seconds(p.at))
        at = np.array([scene.clock.seconds(p.at) for p in points])
        value = np.array([p.value for p in points])
        before = np.searchsorted(at, times, side="right") - 1
        out = np.where(before < 0, value[0], value[np.clip(before, 0, None)])
        for k in np.unique(before[(before >= 0) & (before < len(points) - 1)]):  # of points at equal times it is the last
            here = before == k
            part = (times[here] - at[k]) / (at[k + 1] - at[k])
            out[here] = value[k] + (value[k + 1] - value[k]) * EASINGS[points[k].easing](part)
        return out


@dataclass(frozen=True)
class Sound(Source):
    """A feature of the motion's sound.

    feature: see `features.FEATURES`; 'chroma.0' (C) to 'chroma.11' (B) are the twelve pitch classes.
    gain: factor; what exceeds 1 is 1.  decay: seconds in which an 'onset' or a 'beat' fades to a third (1/e).
    """

    feature: str = "level"
    gain: float = 1.0
    decay: float = 0.2
    type: ClassVar[str] = "sound"

    def __post_init__(self):
        check_feature(self.feature)
        object.__setattr__(self, "gain", number(self.gain, 0, 100, "The gain of a sound"))
        object.__setattr__(self, "decay", number(self.decay, 0.001, 60, "The decay of a sound"))

    def values(self, times: np.ndarray, scene: Scene) -> np.ndarray:
        """As of `Source`. Raises StudioError if there is no sound."""
        if scene.features is None:
            raise StudioError("This motion follows a sound, and there is none.", "Name a sound file.")
        # A frame stands for the time it is shown; its middle is nearest to all that is heard meanwhile.
        middle = times + 0.5 / float(scene.clock.fps)
        return np.clip(self.gain * scene.features.at(self.feature, middle, self.decay), 0, 1)


SOURCES: dict[str, type[Source]] = {s.type: s for s in (Constant, Ramp, LFO, RandomWalk, Envelope, Sound)}


def check_easing(name: Any) -> None:
    """Raises StudioError for an easing that there is not."""
    if not isinstance(name, str) or name not in EASINGS:
        raise StudioError(f"There is no easing {short_repr(name)}.", f"Choose one of {', '.join(EASINGS)}.")


def _period(given: Any, what: str) -> Duration:
    duration = Duration.parse(given)
    if duration.value <= 0:
        raise StudioError(f"{what} is {duration}.", "It must be longer than nothing.")
    return duration


def _power_of_two(count: int) -> int:
    return min(_MAX_WALK, 1 << max(6, (count - 1).bit_length()))


@functools.lru_cache(maxsize=16)
def _walk(seed: int, count: int) -> np.ndarray:
    """Sums of standard normal steps (count,), the first 0. A longer walk of a seed begins as a shorter one."""
    steps = np.random.RandomState(seed).standard_normal(count - 1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def source_from(raw: Any) -> Source:
    """A source from plain data: its fields, and 'type'. Raises StudioError."""
    return read_typed(Source, SOURCES, raw, "source")


AnySource = Annotated[Any, BeforeValidator(source_from)]  # as a field of what is read from JSON

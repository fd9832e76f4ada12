"""Motions that make a film at once: through seeds, classes or directions, a noise loop, and one that follows a sound."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from studio.engine.model_facts import ModelFacts
from studio.engine.recipe import ClassWeight, Recipe
from studio.errors import StudioError
from studio.latents.layer_ranges import LAYER_RANGE_NAMES
from studio.motion.features import AudioFeatures
from studio.motion.motion import Motion
from studio.motion.paths import KeyFrame, KeyFrames, NoiseLoop
from studio.motion.sources import LFO, Envelope, Point, Sound
from studio.motion.timing import Duration
from studio.motion.tracks import Track

_BEATS_A_BAR = 4
_SHORTEST, _USUAL = 0.8, 2.0  # seconds from one key frame to the next
_FEWEST_BEATS = 8  # that are taken for a rhythm


def through_seeds(
    base: Recipe, seeds: Sequence[int], seconds: float, loop: bool = False, interpolation: str = "spline", easing: str = "linear"
) -> Motion:
    """From seed to seed in equal times; a loop returns to the first. Raises StudioError for fewer than two seeds."""
    return _through([KeyFrame(seed=seed) for seed in seeds], base, seconds, loop, interpolation, easing)


def through_classes(base: Recipe, classes: Sequence[int], seconds: float, loop: bool = False, easing: str = "ease") -> Motion:
    """From class to class with the seed of the base; a loop returns to the first. Raises StudioError for fewer than two classes."""
    frames = [KeyFrame(recipe=base.replace(classes=(ClassWeight(k),))) for k in classes]
    return _through(frames, base, seconds, loop, "linear", easing)


def through_directions(base: Recipe, directions: Sequence[str], seconds: float, reach: float = 2.0) -> Motion:
    """Along one direction after the other, there, to the opposite side and back: a loop.

    directions: names as in `Edit.direction`.  reach: standard deviations.
    """
    if not directions:
        raise StudioError("A walk through directions needs one.", "Name one or more.")
    share = seconds / len(directions)
    tracks = []
    for i, name in enumerate(directions):
        way = ((0.0, 0.5), (0.25, 1.0), (0.75, 0.0), (1.0, 0.5))
        points = tuple(Point(Duration((i + part) * share), value, "ease") for part, value in way)
        tracks.append(Track(f"edit.{name}", Envelope(points), range=(-reach, reach)))
    return Motion(base, tracks=tuple(tracks), duration=Duration(seconds), loop=True)


def noise_loop(base: Recipe, seconds: float, seed: int = 0, diameter: float = 1.0) -> Motion:
    """A loop that never stands still: noise in every number of z."""
    return Motion(base, NoiseLoop(seed, diameter), duration=Duration(seconds), loop=True)


def truncation_pulse(period: Duration = Duration(2), low: float = 0.4, high: float = 1.0) -> Track:
    """Truncation psi that swells and falls."""
    return Track("psi", LFO("sine", period), range=(low, high))


def following_sound(base: Recipe, features: AudioFeatures, sound: Path, facts: ModelFacts, seeds: Sequence[int] = ()) -> Motion:
    """A film of a sound: a new seed at every bar, or at onsets where there is no rhythm; the bass opens the truncation, the treble
    moves the fine layers along a direction, the level the middle ones along another.

    seeds: taken one after the other, and again; () = that of the base, the next one, ...
    """
    times = _key_times(features)
    given = list(seeds) or [(base.seed + i) % 2**32 for i in range(len(times))]
    durations = np.diff([*times, max(features.seconds, times[-1] + 0.04)])
    frames = tuple(KeyFrame(seed=given[i % len(given)], duration=Duration(float(d))) for i, d in enumerate(durations))
    tracks = [Track("psi", Sound("bass"), range=(max(-2.0, base.psi - 0.25), min(2.0, base.psi + 0.25)), smoothing=0.08)]
    names = list(facts.directions)
    moves = (("fine", "treble", 2.0, 0.1), ("middle", "level", 1.2, 0.25))
    for name, (layers, feature, reach, smoothing) in zip(names, moves, strict=False):
        address = f"edit.{name}@{layers}" if facts.num_ws >= len(LAYER_RANGE_NAMES) else f"edit.{name}"
        tracks.append(Track(address, Sound(feature), range=(-reach / 4, reach), smoothing=smoothing))
    seconds = Duration(features.seconds)
    return Motion(base, KeyFrames(frames), tuple(tracks), seconds, bpm=_tempo(features), sound=str(sound.absolute()))


def _tempo(features: AudioFeatures) -> float:
    return float(np.clip(features.tempo, 1, 1000)) if features.tempo > 0 else 120.0


def _key_times(features: AudioFeatures) -> list[float]:
    """Times of key frames from 0 on: bars; else onsets; at least every few seconds."""
    bars = features.beats[::_BEATS_A_BAR] if len(features.beats) >= _FEWEST_BEATS else features.onsets
    times = [0.0]
    for time in [*map(float, bars), features.seconds]:
        while time - times[-1] > 4 * _USUAL:
            times.append(times[-1] + _USUAL)
        if time - times[-1] >= _SHORTEST and time <= features.seconds - _SHORTEST:
            times.append(time)
    return times


def _through(frames: list[KeyFrame], base: Recipe, seconds: float, loop: bool, interpolation: str, easing: str) -> Motion:
    if len(frames) < 2:
        raise StudioError("A walk needs two pictures or more.", "Name more of them.")
    ways = len(frames) if loop else len(frames) - 1
    frames = [KeyFrame(f.seed, f.recipe, Duration(seconds / ways), easing) for f in frames]
    if not loop:
        frames[-1] = KeyFrame(frames[-1].seed, frames[-1].recipe, Duration(0), easing)
    return Motion(base, KeyFrames(tuple(frames), interpolation), loop=loop)

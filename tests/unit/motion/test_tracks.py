import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from studio.engine.model_facts import DirectionSet, ModelFacts
from studio.engine.recipe import Edit, Recipe
from studio.errors import StudioError
from studio.motion.sources import LFO, Constant, Ramp, Scene
from studio.motion.timing import Clock, Duration
from studio.motion.tracks import Moved, Track

FACTS = ModelFacts("tiny", "Tiny", ("cat", "dog", "eel"), 10, True, True, (DirectionSet("random", "Random", ("random:0:0",), ("1",)),))
SCENE = Scene(Clock(Fraction(30), 300, 120))
LOOP = Scene(Clock(Fraction(30), 300, 120, loop=True))
BASE = Recipe(model="tiny", psi=0.6)


def moved(track: Track, seconds: float = 0.0) -> Recipe:
    return Moved(track, FACTS, BASE).apply(BASE, seconds, SCENE)


def test_a_track_moves_its_parameter_over_its_range():
    track = Track("psi", Ramp(), range=(0.2, 1.0))
    assert [moved(track, t).psi for t in (0.0, 5.0, 10.0)] == pytest.approx([0.2, 0.6, 1.0])
    assert moved(track, 0.0) == BASE.replace(psi=0.2), "exactly"
    assert moved(dataclasses.replace(track, invert=True), 10.0).psi == 0.2
    assert moved(dataclasses.replace(track, amount=0.0), 0.0) == BASE
    assert moved(dataclasses.replace(track, amount=0.5), 0.0).psi == pytest.approx(0.4)
    assert moved(dataclasses.replace(track, curve="exponential"), 5.0).psi == pytest.approx(0.2 + 0.8 * (np.e**2 - 1) / (np.e**4 - 1))
    assert moved(Track("psi", Constant(1.0))).psi == 1.5, "the parameter's own range"


def test_every_kind_of_parameter():
    assert moved(Track("edit.random:0:0@coarse", Constant(1.0), range=(0, 2))).edits == (Edit("random:0:0", 2.0, (0, 4)),)
    assert moved(Track("class", Constant(1.0), range=(0, 2))).classes[0].index == 2
    assert moved(Track("transform.rotate", Constant(0.25), range=(-90, 90))).transform.rotate == -45
    assert [moved(Track("noise.mode", Constant(v))).noise.mode for v in (0.0, 0.5, 1.0)] == ["const", "random", "none"]
    assert moved(Track("seed", Constant(0.5), range=(10, 20))).seed == 15


def test_smoothing_is_a_mean_over_the_past():
    square = LFO("square", Duration(4))
    values = [Track("psi", square, smoothing=0.5).value(t, SCENE) for t in (1.9, 2.5, 3.9, 4.5)]
    # A step passes through an exponential window as 1 - e^(-t / tau), and falls as e^(-t / tau).
    expected = [0.0, 1 - np.exp(-1), 1 - np.exp(-3.8), np.exp(-1)]
    assert values == pytest.approx(expected, abs=0.03)


def test_smoothing_closes_a_loop():
    track = Track("psi", LFO("random", Duration(1), seed=2), smoothing=0.3)
    assert track.value(10 - 1e-6, LOOP) == pytest.approx(track.value(0.0, LOOP), abs=0.05)
    assert track.value(0.0, SCENE) != track.value(0.0, LOOP), "in a loop there is a past at the beginning"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Track("", Constant()),
        lambda: Track("psi", None),
        lambda: Track("psi", 0.5),
        lambda: Track("psi", Constant(), amount=2),
        lambda: Track("psi", Constant(), curve="steep"),
        lambda: Track("psi", Constant(), smoothing=11),
        lambda: Track("psi", Constant(), range=(0, float("nan"))),
        lambda: Track("psi", Constant(), range=(0, 1, 2)),
        lambda: Track("psi", Constant(), invert="yes"),
        lambda: moved(Track("psi", Constant(), range=(0, 5))),
        lambda: moved(Track("beauty", Constant())),
        lambda: moved(Track("edit.model:smile", Constant())),
        lambda: moved(Track("mix.0.weight", Constant())),
    ],
)
def test_what_is_no_track(make):
    with pytest.raises(StudioError) as e:
        make()
    assert e.value.hint

from fractions import Fraction

import numpy as np
import pytest

from studio.errors import StudioError
from studio.motion.features import AudioFeatures
from studio.motion.sources import LFO, SHAPES, Constant, Envelope, Point, Ramp, RandomWalk, Scene, Sound, source_from
from studio.motion.timing import Clock, Duration

OPEN = Scene(Clock(Fraction(30), 300, 120))
LOOP = Scene(Clock(Fraction(30), 300, 120, loop=True))
TIMES = np.linspace(0, 10, 601)
MOVING = [*(LFO(shape, Duration(1.3), seed=3) for shape in SHAPES), RandomWalk(Duration(0.5), 0.4, seed=3), Constant(0.3)]


@pytest.mark.parametrize(
    ("shape", "formula"),
    [
        ("sine", lambda p: 0.5 - 0.5 * np.cos(2 * np.pi * p)),
        ("triangle", lambda p: 2 * p if p < 0.5 else 2 - 2 * p),
        ("saw", lambda p: p),
        ("square", lambda p: float(p >= 0.5)),
    ],
)
def test_oscillators(shape, formula):
    times = np.arange(500) / 50 + 0.001
    expected = [formula((t / 2.5 + 0.25) % 1) for t in times]
    assert LFO(shape, Duration(2.5), phase=0.25).values(times, OPEN) == pytest.approx(expected)
    assert LFO(shape, Duration(5, "beats"), phase=0.25).values(times, OPEN) == pytest.approx(expected), "at 120 beats a minute"


@pytest.mark.parametrize("source", MOVING)
@pytest.mark.parametrize("scene", [OPEN, LOOP])
def test_a_value_depends_on_nothing_but_its_time(source, scene):
    together = source.values(TIMES, scene)
    alone = np.concatenate([source.values(TIMES[i : i + 1], scene) for i in range(len(TIMES) - 1, -1, -1)])[::-1]
    np.testing.assert_array_equal(together, alone)
    assert together.min() >= 0
    assert together.max() <= 1


@pytest.mark.parametrize("source", MOVING)
def test_in_a_loop_the_end_meets_the_beginning(source):
    begin, end = source.values(np.array([0.0, 1e-9]), LOOP), source.values(np.array([10 - 1e-9]), LOOP)
    if source in (LFO("saw", Duration(1.3), seed=3), LFO("square", Duration(1.3), seed=3), LFO("random", Duration(1.3), seed=3)):
        assert LFO.values(source, np.array([10 - 1e-9 + 1.25]) % 10, LOOP) == pytest.approx(source.values(np.array([1.25 - 1e-9]), LOOP))
    else:
        assert end[0] == pytest.approx(begin[0], abs=1e-6)


def test_a_period_is_fitted_to_a_loop():
    values = LFO("saw", Duration(1.3)).values(TIMES, LOOP)
    assert (np.diff(values) < 0).sum() == 8, "10 s hold 7.7 periods: 8 fit"


def test_sample_and_hold_is_another_value_every_period():
    values = LFO("random", Duration(0.5), seed=9).values(np.arange(0, 10, 0.05) + 0.01, OPEN).reshape(20, 10)
    assert (values == values[:, :1]).all()
    assert len(np.unique(values[:, 0])) == 20
    assert not np.array_equal(values[:, 0], LFO("random", Duration(0.5), seed=10).values(np.arange(20) / 2 + 0.01, OPEN))


def test_a_random_walk_takes_normal_steps():
    times = np.arange(20) * 0.5
    values = RandomWalk(Duration(0.5), 0.01, seed=4).values(times, OPEN)
    steps = np.random.RandomState(4).standard_normal(19)
    assert np.diff(values) == pytest.approx(0.01 * steps), "small ones are not reflected"
    fine = RandomWalk(Duration(0.5), 0.5, seed=4).values(TIMES, OPEN)
    assert np.abs(np.diff(fine)).max() < 0.2


def test_the_time():
    assert Ramp().values(np.array([0.0, 5.0, 10.0, 12.0]), OPEN) == pytest.approx([0, 0.5, 1, 1])


def test_an_envelope_goes_through_its_points():
    points = (Point(4, 1.0, "hold"), Point("2 beats", 0.2), Point(6, 0.5))
    values = Envelope(points).values(np.array([0.0, 1.0, 2.5, 4.0, 5.9, 6.0, 9.0]), OPEN)
    assert values == pytest.approx([0.2, 0.2, 0.6, 1.0, 1.0, 0.5, 0.5])


def test_a_sound_is_read_in_the_middle_of_a_frame():
    level = np.linspace(0, 1, 101)
    features = AudioFeatures(10.0, 120.0, np.array([2.0, 5.0]), np.array([]), {"level": (0.1, level)})
    scene = Scene(OPEN.clock, features)
    times = np.array([1.0, 3.0])
    assert Sound("level").values(times, scene) == pytest.approx((times + 1 / 60) / 10)
    assert Sound("level", gain=50).values(times, scene) == pytest.approx([1, 1])
    onset = Sound("onset", decay=0.5).values(np.array([1.9, 2.0, 2.5, 5.0]) - 1 / 60, scene)
    assert onset == pytest.approx([0, 1, np.exp(-1), 1])
    assert Sound("beat").values(times, scene) == pytest.approx([0, 0])
    with pytest.raises(StudioError, match="Name a sound file"):
        Sound("level").values(times, OPEN)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LFO("cube"),
        lambda: LFO(period=Duration(0)),
        lambda: LFO(phase=float("nan")),
        lambda: LFO(seed=-1),
        lambda: RandomWalk(step=2),
        lambda: RandomWalk(pace=0),
        lambda: Constant(2),
        lambda: Envelope(()),
        lambda: Envelope((1,)),
        lambda: Point(0, 2),
        lambda: Point(0, 1, "springy"),
        lambda: Sound("taste"),
        lambda: Sound(["level"]),
        lambda: Sound(gain=-1),
        lambda: source_from({"type": "midi", "channel": 1}),
        lambda: source_from({"type": "lfo", "frequency": 2}),
        lambda: source_from({"type": ["lfo"]}),
        lambda: source_from("lfo"),
        lambda: source_from(None),
    ],
)
def test_what_is_no_source(make):
    with pytest.raises(StudioError) as e:
        make()
    assert e.value.hint

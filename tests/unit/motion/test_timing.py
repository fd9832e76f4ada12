from fractions import Fraction

import pytest

from studio.errors import StudioError
from studio.motion.timing import Clock, Duration, frame_rate


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(2, 2.0), (0.5, 0.5), ("12 s", 12.0), ("3", 3.0), ("240 frames", 8.0), ("1 frame", 1 / 30), ("4 beats", 2.0), (".5s", 0.5)],
)
def test_durations_in_seconds_frames_and_beats(given, seconds):
    duration = Duration.parse(given)
    assert duration.seconds(Fraction(30), 120) == pytest.approx(seconds)
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize("value", [1 / 3, 1e-7, 43 / 30, 249999.123456789, 0.1 + 0.2])
def test_no_digit_of_a_duration_is_lost(value):
    for unit in ("seconds", "frames", "beats"):
        assert Duration.parse(str(Duration(value, unit))) == Duration(value, unit)


@pytest.mark.parametrize(
    "given", ["", "four", "-1 s", "1 hour", "1e5", "nan", float("nan"), float("inf"), -1, 1e300, True, None, [], {}, "9" * 400]
)
def test_what_is_no_duration(given):
    with pytest.raises(StudioError):
        Duration.parse(given)


@pytest.mark.parametrize(
    ("given", "fps"),
    [(30, Fraction(30)), (29.97, Fraction(30000, 1001)), (23.976, Fraction(24000, 1001)), (1, Fraction(1)), (12.5, Fraction(25, 2))],
)
def test_frame_rates_are_those_of_video(given, fps):
    assert frame_rate(given) == fps


@pytest.mark.parametrize("given", [0, -1, 121, float("nan"), "30", None, True])
def test_what_is_no_frame_rate(given):
    with pytest.raises(StudioError):
        frame_rate(given)


@pytest.mark.parametrize("fps", [Fraction(30), Fraction(30000, 1001), Fraction(24)])
def test_a_loop_finds_its_frames_again_to_the_bit(fps):
    clock = Clock(fps, 997, 120, loop=True)
    for frame in (0, 1, 500, 996):
        for turns in (0, 1, 7, 100):
            assert clock.wrapped(float((frame + turns * 997) / fps)) == clock.time(frame)
    assert clock.wrapped(clock.length) == 0.0
    assert 0 <= clock.wrapped(-0.01) < clock.length


def test_outside_of_a_loop_time_goes_on():
    clock = Clock(Fraction(30), 30, 120)
    assert clock.wrapped(5.0) == 5.0
    assert clock.wrapped(-5.0) == 0.0
    assert clock.rounds(0.4) == pytest.approx(2.5)
    assert Clock(Fraction(30), 30, 120, loop=True).rounds(0.4) == 2

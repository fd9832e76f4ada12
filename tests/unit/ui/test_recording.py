"""Recordings: what was played comes back at the same times."""

import pytest

from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.motion.paths import KeyFrames
from studio.ui.explore.recording import MOST, Recording


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def psi(value: float) -> Recipe:
    return Recipe(model="tiny", psi=value)


def test_moves_become_key_frames_at_their_times(clock):
    recording = Recording(clock)
    for after, value in ((0, 0.1), (0.5, 0.4), (1.5, 0.9)):
        clock.now = 100 + after
        recording.add(psi(value))
    clock.now = 103
    recording.end()
    clock.now = 200
    recording.add(psi(0))
    motion = recording.motion()
    assert isinstance(motion.path, KeyFrames)
    assert [(f.recipe.psi, f.duration.value) for f in motion.path.frames] == [(0.1, 0.5), (0.4, 1.0), (0.9, 1.5)]
    assert motion.clock().length == pytest.approx(3)
    assert recording.seconds == 3


def test_a_long_recording_keeps_its_length_with_fewer_moves(clock):
    recording = Recording(clock)
    for i in range(10 * MOST):
        clock.now = 100 + i / 60
        recording.add(psi(i / 10 / MOST))
    recording.end()
    moves = recording.moves
    assert MOST / 4 < len(moves) <= MOST
    assert recording.seconds == pytest.approx((10 * MOST - 1) / 60)
    for t, recipe in moves:
        assert recipe.psi * 10 * MOST / 60 == pytest.approx(t - 100, abs=1), "each where it was"


def test_nothing_another_model_and_what_comes_after_ten_minutes_is_left_out(clock):
    recording = Recording(clock)
    with pytest.raises(StudioError, match="Nothing was recorded"):
        recording.motion()
    recording.add(psi(0.1))
    with pytest.raises(StudioError, match="Nothing was recorded"):
        recording.motion()
    recording.add(Recipe(model="other"))
    clock.now += 5
    recording.add(psi(0.2))
    clock.now += 600
    recording.add(psi(0.3))
    assert [recipe.psi for _, recipe in recording.moves] == [0.1, 0.2]
    assert recording.seconds == 600


def test_what_was_recorded_is_told_in_words(clock):
    recording = Recording(clock)
    recording.add(psi(0.1))
    assert recording.summary == "Nothing was recorded."
    recording.add(Recipe(model="other"))
    assert recording.summary == "Nothing was recorded. Moves of another model are not recorded."
    with pytest.raises(StudioError, match="moves of another model"):
        recording.motion()
    clock.now += 2.5
    recording.add(psi(0.2))
    assert recording.summary == "Recorded: 2.5 seconds, 1 move. Moves of another model are not recorded."
    recording.elsewhere = 0
    clock.now += 1
    recording.add(psi(0.3))
    assert recording.summary == "Recorded: 3.5 seconds, 2 moves."

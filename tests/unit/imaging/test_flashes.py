import numpy as np
import pytest

from studio.imaging.flashes import CELLS, FlashMeter, cells_of


def measured(frames, fps=30.0) -> FlashMeter:
    meter = FlashMeter()
    for i, frame in enumerate(frames):
        meter.add(i / fps, frame)
    return meter


def flashing(per_second: float, seconds=3.0, fps=30.0, low=0, high=255, share=1.0, colour=(1, 1, 1)) -> list[np.ndarray]:
    """Frames of which a share goes from dark to light and back, so often in a second."""
    out = []
    for i in range(round(seconds * fps)):
        frame = np.full((CELLS, CELLS, 3), 40, np.uint8)
        level = high if (i / fps * per_second) % 1 >= 0.5 else low
        frame[: round(CELLS * share)] = np.array(colour) * level
        out.append(frame)
    return out


@pytest.mark.parametrize(
    ("frames", "flashes"),
    [
        (flashing(5), True),
        (flashing(3.75), True),
        (flashing(3), False),
        (flashing(1), False),
        (flashing(5, seconds=0.7), False),
        (flashing(5, share=0.2), False),
        (flashing(5, share=0.3), True),
        (flashing(5, low=100, high=115), False),
        (flashing(5, low=235, high=255), False),
        (flashing(10, colour=(1, 0, 0), low=120, high=160), True),
        (flashing(10, colour=(0, 0, 1), low=120, high=160), False),
    ],
)
def test_more_than_three_flashes_a_second_of_a_quarter_of_the_picture(frames, flashes):
    assert bool(measured(frames).spans) == flashes


def test_slow_changes_are_no_flashes_however_many_frames_they_take():
    levels = 127 - 127 * np.cos(2 * np.pi * np.arange(300) / 60)  # one in two seconds
    frames = [np.full((CELLS, CELLS, 3), round(level), np.uint8) for level in levels]
    assert not measured(frames).spans
    fast = [np.full((CELLS, CELLS, 3), round(level), np.uint8) for level in np.tile(127 - 127 * np.cos(2 * np.pi * np.arange(6) / 6), 30)]
    assert measured(fast).spans, "five a second, in three steps each"


def test_the_warning_says_when():
    calm = [np.full((CELLS, CELLS, 3), 40, np.uint8)] * 60
    meter = measured([*calm, *flashing(6), *calm, *flashing(6, 2)])
    assert len(meter.spans) == 2
    assert 2.0 < meter.spans[0][0] < 3.0
    assert 7.0 < meter.spans[1][0] < 8.0
    assert "0:02." in meter.sentence()
    assert "0:07." in meter.sentence()
    assert measured(calm).sentence() == ""


def test_cells_are_means():
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    assert cells_of(picture)[3, 5] == pytest.approx(picture[6:8, 15:18].mean((0, 1)), abs=1)
    assert cells_of(np.zeros((8, 8, 3), np.uint8)).shape == (CELLS, CELLS, 3)

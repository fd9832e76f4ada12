import numpy as np
import pytest

from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.imaging.crop import crop, smart_offset
from tests.unit.imaging.pictures import halves


def test_centre_and_fit():
    wide = np.asarray(halves(size=(96, 32)))
    assert crop(wide, 32, "centre")[0, 0].tolist() == [200, 30, 90]
    assert crop(wide, 32)[0, -1].tolist() == [10, 180, 60]
    fit = crop(wide, 48, "fit", (1, 2, 3))
    assert fit.shape == (48, 48, 3)
    assert (fit[:16] == (1, 2, 3)).all()
    assert (fit[32:] == (1, 2, 3)).all()
    assert fit[24, 4].tolist() == [200, 30, 90]
    assert fit[24, 44].tolist() == [10, 180, 60]
    tall = crop(wide.transpose(1, 0, 2), 48, "fit", (1, 2, 3))
    assert np.array_equal(tall, fit.transpose(1, 0, 2))
    same = np.zeros((48, 48, 3), np.uint8)
    assert crop(same, 48, "fit") is same
    assert (
        crop(np.zeros((1, 4000, 3), np.uint8), 16, "fit").shape == crop(np.zeros((4000, 1, 3), np.uint8), 16, "smart").shape == (16, 16, 3)
    )


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("tall", [False, True])
def test_the_smart_crop_finds_the_odd_thing_out(at, tall):
    rng = np.random.default_rng(1)
    image = np.full((100, 400, 3), 120, np.uint8) + rng.integers(0, 6, (100, 400, 1), dtype=np.uint8)
    x = int(at * 340)
    image[30:70, x : x + 40] = rng.integers(0, 255, (40, 40, 3))
    image = image.transpose(1, 0, 2) if tall else image
    offset = smart_offset(image)
    assert x - 60 <= offset <= x


def test_the_smart_crop_of_nothing_is_the_centre():
    assert abs(smart_offset(np.full((100, 400, 3), 7, np.uint8)) - 150) <= 2
    assert smart_offset(np.zeros((50, 50, 3), np.uint8)) == 0


def test_words_for_crops_and_colours():
    assert parse_colour("#ff8000") == (255, 128, 0)
    with pytest.raises(StudioError, match="centre, smart, fit"):
        crop(np.zeros((4, 5, 3), np.uint8), 2, "round")

import itertools
import math

import pytest

from studio.errors import StudioError
from studio.training.growth import Growth, grown_at

# 64 px from 8, each fade 100 thousand pictures, before each 50 thousand at rest.
TABLE = [
    (0, 1.0),
    (49_999, 1.0),
    (50_000, 1.0),
    (75_000, 1.25),
    (100_000, 1.5),
    (150_000, 2.0),
    (200_000, 2.0),
    (210_000, 2.1),
    (300_000, 3.0),
    (350_000, 3.0),
    (425_000, 3.75),
    (450_000, 4.0),
    (10**9, 4.0),
]


@pytest.mark.parametrize(("images", "grown"), TABLE)
def test_schedule_against_a_table(images, grown):
    assert grown_at(images, 64, 8, fade_kimg=100, stable_kimg=50) == pytest.approx(grown, abs=1e-12)


def test_the_papers_own_schedule():
    """600 thousand pictures each: 1024 px from 8 is reached in 7 doublings of 1.2 million (ProGAN, App. A)."""
    assert grown_at(600_000, 1024, 8, 600, 600) == 1
    assert grown_at(900_000, 1024, 8, 600, 600) == pytest.approx(1.5)
    assert grown_at(7 * 1_200_000 - 1, 1024, 8, 600, 600) < 8
    assert grown_at(7 * 1_200_000, 1024, 8, 600, 600) == 8


def test_it_never_falls_and_never_jumps():
    grown = [grown_at(i, 128, 4, fade_kimg=0.7, stable_kimg=0.3) for i in range(0, 6000, 10)]
    steps = [b - a for a, b in itertools.pairwise(grown)]
    assert grown[0] == 0
    assert grown[-1] == 5
    assert min(steps) >= 0
    assert max(steps) <= 10 / 700 + 1e-9


def test_no_rest_between_fades():
    assert grown_at(2500, 64, 4, fade_kimg=1, stable_kimg=0) == 2.5


@pytest.mark.parametrize(("start", "fade"), [(8, 0), (64, 10), (128, 10)])
def test_without_growing_all_is_there_at_once(start, fade):
    assert grown_at(0, 64, start, fade, 10) == math.log2(64 / 4)


@pytest.mark.parametrize("bad", [dict(start=12), dict(start=2), dict(fade_kimg=-1), dict(stable_kimg=math.inf), dict(fade_kimg=math.nan)])
def test_a_bad_growth_is_refused_with_a_hint(bad):
    with pytest.raises(StudioError) as e:
        Growth(**bad)
    assert next(iter(bad)) in str(e.value)
    assert e.value.hint

"""Noise against its formula, summed over all corners of the grid one by one."""

import itertools
import math

import numpy as np
import pytest

from studio.latents.noise import hashed, noise_circle, noise_line, simplex_noise, z_on_loop


def slow_noise(x: float, y: float, *seed: int) -> float:
    """The sum over every corner of the triangular grid that is near enough, whichever triangle the point lies in."""
    unskew = (3 - math.sqrt(3)) / 6
    total = 0.0
    near_i, near_j = (round(v + (x + y) * (math.sqrt(3) - 1) / 2) for v in (x, y))
    for i, j in itertools.product(range(near_i - 3, near_i + 4), range(near_j - 3, near_j + 4)):
        dx, dy = x - (i - (i + j) * unskew), y - (j - (i + j) * unskew)
        room = 0.5 - dx**2 - dy**2
        if room > 0:
            angle = 2 * math.pi * float(hashed(np.int64(i), j, *seed))
            total += room**4 * (math.cos(angle) * dx + math.sin(angle) * dy)
    return total / 0.01008021


def test_noise_is_the_sum_over_all_corners():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-50, 50, (2, 200))
    found = simplex_noise(x, y, 7, np.int64(3))
    assert found == pytest.approx([slow_noise(a, b, 7, 3) for a, b in zip(x, y, strict=True)], abs=1e-9)


def test_it_stays_within_its_bounds_and_uses_them():
    rng = np.random.default_rng(1)
    values = simplex_noise(*rng.uniform(-1000, 1000, (2, 200_000)), 5)
    assert 0.8 < np.abs(values).max() <= 1
    assert abs(values.mean()) < 0.01


def test_the_largest_value_is_that_of_three_corners_that_pull_alike():
    """With the gradients free, the largest sum of parts within a triangle: the constant that noise is divided by."""
    unskew = (3 - math.sqrt(3)) / 6
    corners = [(0.0, 0.0), (1 - unskew, -unskew), (1 - 2 * unskew, 1 - 2 * unskew)]
    second, third = (share[:, None] if k else share for k, share in enumerate([np.linspace(0, 1, 1501)] * 2))
    x, y = (second * corners[1][k] + third * corners[2][k] for k in (0, 1))
    squares = [(x - a) ** 2 + (y - b) ** 2 for a, b in corners]
    total = sum(np.maximum(0, 0.5 - d2) ** 4 * np.sqrt(d2) for d2 in squares)
    assert total[second + third <= 1].max() == pytest.approx(0.01008021, rel=1e-4)


def test_hashes_are_uniform_and_differ_in_every_number():
    values = hashed(np.arange(100_000), 3)
    assert 0 <= values.min() < 0.001
    assert 0.999 < values.max() < 1
    assert abs(np.histogram(values, 10)[0] - 10_000).max() < 500
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.02
    assert len(np.unique(np.concatenate([values, hashed(np.arange(100_000), 4)]))) == 200_000
    assert hashed(np.int64(1), 2) != hashed(np.int64(2), 1)


def test_a_circle_ends_where_it_begins_to_the_bit():
    parts = np.linspace(0, 1, 501)
    values = noise_circle(11, parts, 4.0)
    assert values[0] == values[-1]
    assert np.abs(np.diff(values)).max() < 0.2, "no jump, nor where it closes"
    assert values.std() > 0.1


def test_a_line_is_smooth_and_its_seeds_differ():
    position = np.linspace(0, 40, 4001)
    a, b = noise_line(1, position), noise_line(2, position)
    assert np.abs(np.diff(a)).max() < 0.1
    assert a.std() > 0.1
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.4


@pytest.mark.parametrize("z_dim", [16, 512])
def test_every_number_of_z_has_a_noise_of_its_own(z_dim):
    way = np.stack([z_on_loop(3, z_dim, part, 2.0) for part in np.linspace(0, 1, 101)])
    assert way.dtype == np.float32
    assert way[0].tobytes() == way[-1].tobytes()
    assert np.linalg.norm(way, axis=1) == pytest.approx(math.sqrt(z_dim), rel=1e-5)
    steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
    assert steps.max() < 5 * np.median(steps)
    assert len(np.unique(way[0])) == z_dim
    assert np.linalg.norm(way[0] - way[50]) > 0.3 * math.sqrt(z_dim), "it goes somewhere"
    assert not np.array_equal(way[0], z_on_loop(4, z_dim, 0.0, 2.0))

import numpy as np
import pytest
import torch

from studio.errors import StudioError
from studio.metrics.kid import kid


def test_mmd_against_a_loop():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 5)), rng.standard_normal((6, 5)) + 0.5

    def k(a, b):
        return (a @ b / 5 + 1) ** 3

    xx = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    yy = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    found, deviation = kid(x, y, subset_size=6, subsets=3)
    assert found == pytest.approx(xx + yy - 2 * xy, rel=1e-10)
    assert deviation == pytest.approx(0, abs=1e-12)


def test_kid_is_unbiased_seeded_and_ordered():
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((400, 16)) + shift for shift in (0, 0, 0.7))
    same, deviation = kid(a, b, 200, 50)
    assert abs(same) < 3 * deviation / 50**0.5 + 0.02
    assert kid(a, c, 200, 50)[0] > 10 * abs(same)
    assert kid(a, c, 200, 5, seed=1) == kid(a, c, 200, 5, seed=1) != kid(a, c, 200, 5, seed=2)
    with pytest.raises(StudioError):
        kid(a[:1], b)


def test_kid_keeps_the_figures_of_earlier_studios_and_no_one_elses_numbers_move():
    """By the studio's own formula in numpy, with the same subsets, before torchmetrics took its place."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal((70, 12)).astype(np.float32)
    fake = rng.standard_normal((60, 12)).astype(np.float32) + np.float32(0.1)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    np.testing.assert_allclose(kid(real, fake), (0.03733568492054529, 0.024251475399791705), rtol=1e-12)
    np.testing.assert_allclose(kid(real, fake, 20, 7, seed=3), (-0.04620983404406376, 0.14688002222229946), rtol=1e-12)
    assert kid(real, fake) == kid(real, fake)
    assert torch.equal(before, torch.get_rng_state())

import numpy as np
import pytest

from studio.metrics.evaluation import PairEvaluator, SetEvaluator
from studio.metrics.psnr_ssim import psnr, ssim


def test_the_evaluator_prefers_what_looks_like_the_data():
    rng = np.random.default_rng(0)

    def stripes(n):
        phase = rng.integers(0, 16, (n, 1, 1, 1))
        return np.broadcast_to((((np.arange(32)[None, :, None, None] + phase) // 8 % 2) * 255).astype(np.uint8), (n, 32, 32, 3))

    evaluator = SetEvaluator(stripes(40), size=64)
    alike, other = (evaluator.measure(x) for x in (stripes(40), rng.integers(0, 255, (40, 32, 32, 3), dtype=np.uint8)))
    assert alike["kid"] < other["kid"] / 5
    assert alike["kid_images"] == 40
    assert {"kid", "kid_sd", "kid_images"} == set(alike)
    # The other direction of a translation has keys of its own.
    backwards = evaluator.measure(stripes(12), ending="_b2a")
    assert {"kid_b2a", "kid_b2a_sd"} < set(backwards)
    assert backwards["kid_images"] == 12


def test_pairs_are_measured_by_all_that_can_be():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 40, 33, 3), dtype=np.uint8)
    assert PairEvaluator(border=4, least_side=33).measure(a, b) == {"psnr": psnr(a, b, 4), "ssim": ssim(a, b, 4)}
    assert PairEvaluator().measure(a, a) == {"psnr": 100, "ssim": pytest.approx(1)}

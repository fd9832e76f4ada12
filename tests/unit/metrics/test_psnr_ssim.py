import numpy as np
import pytest
import torch

from studio.errors import StudioError
from studio.metrics.psnr_ssim import brightness, psnr, ssim


@pytest.fixture
def two() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (40, 33, 3), dtype=np.uint8)
    return a, np.clip(a.astype(int) + rng.integers(-30, 31, a.shape), 0, 255).astype(np.uint8)


def test_brightness_is_that_of_bt601():
    """White, black, and the three colours, as the standard has them."""
    colours = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(brightness(colours)[0], [235, 16, 81.481, 144.553, 40.966], atol=1e-9)


# scikit-image 0.26: peak_signal_noise_ratio(range 255), and structural_similarity(gaussian_weights, sigma 1.5, biased covariance,
# data_range 255), both on Y after the border was cut away.
@pytest.mark.parametrize(("border", "wanted_psnr", "wanted_ssim"), [(0, 28.209393557, 0.971104651), (4, 28.094000935, 0.972660424)])
def test_both_agree_with_scikit_image(two, border, wanted_psnr, wanted_ssim):
    assert psnr(*two, border) == pytest.approx(wanted_psnr, abs=1e-6)
    assert ssim(*two, border) == pytest.approx(wanted_ssim, abs=1e-6)


def test_ssim_by_its_definition(two):
    """Window by window, with weighted means and variances about them."""
    a, b = (brightness(x[:14, :13]) for x in two)
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(taps, taps) / taps.sum() ** 2
    values = []
    for y in range(4):
        for x in range(3):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mp, mq = (weights * p).sum(), (weights * q).sum()
            vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
            cov = (weights * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + 2.55**2) * (2 * cov + 7.65**2) / ((mp**2 + mq**2 + 2.55**2) * (vp + vq + 7.65**2)))
    assert ssim(two[0][:14, :13], two[1][:14, :13]) == pytest.approx(np.mean(values), rel=1e-9)


@pytest.mark.parametrize("border", [0, 4])
def test_ssim_agrees_with_torchmetrics_where_the_window_is_complete(two, border):
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = (torch.from_numpy(brightness(x[border : 40 - border, border : 33 - border]))[None, None] for x in two)
    _, similarity = structural_similarity_index_measure(a, b, data_range=255.0, return_full_image=True)
    assert ssim(*two, border) == pytest.approx(float(similarity[..., 5:-5, 5:-5].mean()), rel=1e-9)


def test_edges_of_the_scales(two):
    assert psnr(two[0], two[0]) == float("inf")
    assert ssim(two[0], two[0]) == pytest.approx(1)
    grey = np.full((20, 20, 3), 100, np.uint8)
    # One level of grey is 219 / 255 of a level of Y.
    assert psnr(grey, grey + 1) == pytest.approx(20 * np.log10(255 / (219 / 255)))
    spoiled = grey.copy()
    spoiled[:4] = 0
    assert psnr(grey, spoiled, border=4) == float("inf") > psnr(grey, spoiled)
    with pytest.raises(StudioError, match="different size"):
        psnr(grey, grey[:10])
    with pytest.raises(StudioError, match="11 pixels"):
        ssim(grey, grey, border=5)

"""PSNR and SSIM on brightness: how near an upscaled picture is to the original, as papers on super-resolution report it.

Both are taken on the Y channel of BT.601 with studio swing (MATLAB's rgb2ycbcr, here without its rounding), after a border of
`scale` pixels is cut away (Wang 2018, ESRGAN, Sec. 4.1, and those before it). PSNR is torchmetrics'.
"""

import numpy as np
import torch

from studio.errors import StudioError
from studio.metrics.registry import PairMetric, register

_WINDOW, _SIGMA = 11, 1.5  # of SSIM's Gaussian window (Wang 2004, Sec. III-C)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # with K1 = 0.01, K2 = 0.03
_HIGHEST = 100.0  # dB; identical pictures would have infinitely many, which neither a mean nor JSON can hold


def brightness(image: np.ndarray) -> np.ndarray:
    """Brightness Y of BT.601 in [16, 235], (H, W) float64.  image: (H, W, 3) RGB, 0 to 255."""
    return 16 + image.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


def psnr(a: np.ndarray, b: np.ndarray, border: int = 0) -> float:
    """Peak signal-to-noise ratio of Y in dB: 10 log10(255^2 / mean (a - b)^2); infinite for identical pictures.

    a, b: (H, W, 3) uint8.  border: pixels to leave out on each side; the field takes the scale.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio  # takes seconds to import, as it brings torchvision

    # Numbers of numpy, because torchmetrics would make Python's into float32, which costs some 1e-6 dB.
    full_range, base = (np.float64(0), np.float64(255)), np.float64(10)
    y_a, y_b = (torch.from_numpy(y) for y in _both(a, b, border))
    return float(peak_signal_noise_ratio(y_a, y_b, data_range=full_range, base=base))


def ssim(a: np.ndarray, b: np.ndarray, border: int = 0) -> float:
    """Mean structural similarity of Y, at most 1 = identical (Wang 2004, Eq. 13), where the whole window of 11 px fits in.

    torchmetrics' SSIM gives the same numbers in float64 (a test holds them together), but its convolution with the whole window
    takes 45 s of one core for a picture of 1024 px, where the two passes along the axes here take 1 s; and float32, in which it
    is fast, is wrong from the fifth decimal place on where pictures are flat.

    a, b: (H, W, 3) uint8.  border: as of `psnr`.
    Raises StudioError when the pictures are smaller than the window.
    """
    y_a, y_b = _both(a, b, border)
    if min(y_a.shape) < _WINDOW:
        raise StudioError(f"SSIM needs pictures of {_WINDOW} pixels a side, without the border.", "Leave out smaller ones.")
    mean_a, mean_b = _blur(y_a), _blur(y_b)
    var_a, var_b = _blur(y_a**2) - mean_a**2, _blur(y_b**2) - mean_b**2
    covariance = _blur(y_a * y_b) - mean_a * mean_b
    upper = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return float(np.mean(upper / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))))


def _both(a: np.ndarray, b: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray]:
    """Y of both without the border, (H, W) float64."""
    if a.shape != b.shape:
        raise StudioError("Pictures of different size cannot be compared.", f"They are {a.shape[1::-1]} and {b.shape[1::-1]} pixels.")
    inner = slice(border, -border or None)
    return brightness(a[inner, inner]), brightness(b[inner, inner])


def _blur(x: np.ndarray) -> np.ndarray:
    """Gaussian-weighted means along both axes, only where the window fits completely: (H, W) -> (H - 10, W - 10)."""
    taps = np.exp(-0.5 * ((np.arange(_WINDOW) - _WINDOW // 2) / _SIGMA) ** 2)
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(x, _WINDOW, axis)
        x = windows @ (taps / taps.sum())
    return x


PSNR = register(
    PairMetric(
        name="psnr",
        title="PSNR",
        basis="of brightness (Y)",
        sentence="Closeness to pictures it never learned from",
        better="higher",
        unit="dB",
        digits=2,
        exact_digits=2,
        order=20,
        load=lambda device: lambda made, original, border: min(psnr(made, original, border), _HIGHEST),
    )
)
SSIM = register(
    PairMetric(
        name="ssim",
        title="SSIM",
        basis="of brightness (Y)",
        sentence="Similarity of their structure, 1 = identical",
        better="higher",
        order=30,
        load=lambda device: ssim,
    )
)

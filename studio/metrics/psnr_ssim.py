"""How near an enlarged picture is to the original: PSNR and SSIM on brightness, as papers on super-resolution give them.

Both are taken on the Y channel of BT.601 with studio swing (MATLAB's rgb2ycbcr, here without its rounding), after a border of
`scale` pixels is cut away (Wang 2018, ESRGAN, Sec. 4.1, and those before it).
"""

import numpy as np

from studio.errors import StudioError

_WINDOW, _SIGMA = 11, 1.5  # of SSIM's Gaussian window (Wang 2004, Sec. III-C)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # with K1 = 0.01, K2 = 0.03


def brightness(image: np.ndarray) -> np.ndarray:
    """Y of BT.601 in [16, 235], (H, W) float64.  image: (H, W, 3) RGB, 0 to 255."""
    return 16 + image.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


def psnr(a: np.ndarray, b: np.ndarray, border: int = 0) -> float:
    """Peak signal-to-noise ratio of Y in dB: 10 log10(255^2 / mean (a - b)^2); infinite for equal pictures.

    a, b: (H, W, 3) uint8.  border: pixels to leave out on each side; the field takes the scale.
    """
    y_a, y_b = _both(a, b, border)
    error = float(np.mean((y_a - y_b) ** 2))
    return float(10 * np.log10(255**2 / error)) if error > 0 else float("inf")


def ssim(a: np.ndarray, b: np.ndarray, border: int = 0) -> float:
    """Mean structural similarity of Y, at most 1 = equal (Wang 2004, Eq. 13), where the whole window of 11 px fits in.

    a, b: (H, W, 3) uint8.  border: as of `psnr`.
    Raises StudioError when the pictures are smaller than the window.
    """
    y_a, y_b = _both(a, b, border)
    if min(y_a.shape) < _WINDOW:
        raise StudioError(f"SSIM needs pictures of {_WINDOW} pixels a side, without the border.", "Leave out smaller ones.")
    mean_a, mean_b = _blur(y_a), _blur(y_b)
    var_a, var_b = _blur(y_a**2) - mean_a**2, _blur(y_b**2) - mean_b**2
    both = _blur(y_a * y_b) - mean_a * mean_b
    alike = (2 * mean_a * mean_b + _C1) * (2 * both + _C2)
    return float(np.mean(alike / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))))


def _both(a: np.ndarray, b: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray]:
    if a.shape != b.shape:
        raise StudioError("Pictures of different size cannot be compared.", f"They are {a.shape[1::-1]} and {b.shape[1::-1]} pixels.")
    inner = slice(border, -border or None)
    return brightness(a[inner, inner]), brightness(b[inner, inner])


def _blur(x: np.ndarray) -> np.ndarray:
    """By the Gaussian window along both axes, only where all of it fits: (H, W) -> (H - 10, W - 10)."""
    taps = np.exp(-0.5 * ((np.arange(_WINDOW) - _WINDOW // 2) / _SIGMA) ** 2)
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(x, _WINDOW, axis)
        x = windows @ (taps / taps.sum())
    return x

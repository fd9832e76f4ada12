"""Crops of a picture of any shape to a square: the centre, the most salient part, or the whole picture padded."""

import numpy as np
from PIL import Image

from studio.errors import StudioError
from studio.imaging.colour import Colour

MODES = {
    "centre": "The square in the middle.",
    "smart": "The square with the most to see, found by spectral residual saliency.",
    "fit": "The whole picture; the rest of the square is filled with the background colour.",
}


def crop(image: np.ndarray, resolution: int, mode: str = "centre", ground: Colour = (255, 255, 255)) -> np.ndarray:
    """Square of a picture: (H, W, 3) uint8 -> (resolution, resolution, 3) uint8, resized with Lanczos.

    mode: 'centre', 'smart' (see `smart_offset`) or 'fit', which keeps the whole picture and pads it with `ground`.
    A picture that already has the right size is returned unchanged.
    Raises StudioError for an unknown mode.
    """
    check_mode(mode)
    height, width = image.shape[:2]
    if (width, height) == (resolution, resolution):
        return image
    picture = Image.fromarray(image)
    if mode == "fit":
        scale = resolution / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        square = Image.new("RGB", (resolution, resolution), ground)
        square.paste(picture.resize(size, Image.Resampling.LANCZOS), ((resolution - size[0]) // 2, (resolution - size[1]) // 2))
        return np.asarray(square)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if mode == "smart" and width != height:
        offset = smart_offset(image)
        left, top = (offset, 0) if width > height else (0, offset)
    return np.asarray(picture.crop((left, top, left + side, top + side)).resize((resolution, resolution), Image.Resampling.LANCZOS))


def smart_offset(image: np.ndarray) -> int:
    """Offset, in pixels along the longer side, of the most salient square in (H, W, 3) uint8.

    Saliency is the spectral residual (Hou and Zhang, "Saliency Detection: A Spectral Residual Approach", CVPR 2007,
    Sec. 3): the log amplitude of the Fourier transform less its local mean, transformed back with its original
    phase, squared and smoothed. The square with the largest sum wins; of equal ones the one nearest to the centre.
    """
    height, width = image.shape[:2]
    if height == width:
        return 0
    if height > width:
        image = image.transpose(1, 0, 2)
        height, width = width, height
    # The paper works at 64 pixels, the scale at which an object stands out.
    small_width = min(1024, max(65, round(64 * width / height)))
    grey = Image.fromarray(np.ascontiguousarray(image)).convert("L").resize((small_width, 64), Image.Resampling.BOX, reducing_gap=2.0)
    saliency = _spectral_residual(np.asarray(grey, np.float64))
    side = min(small_width, max(1, round(small_width * height / width)))
    sums = np.concatenate([[0.0], saliency.sum(0).cumsum()])
    windows = sums[side:] - sums[:-side]
    centre = (len(windows) - 1) / 2
    # A tiny preference for the middle settles flat pictures and ties.
    at = int(np.argmax(windows - 1e-6 * windows.max() * abs(np.arange(len(windows)) - centre)))
    return round(at / max(len(windows) - 1, 1) * (width - height))


def _spectral_residual(grey: np.ndarray) -> np.ndarray:
    if np.ptp(grey) == 0:
        return np.ones_like(grey)
    spectrum = np.fft.fft2(grey)
    log_amplitude = np.log(np.abs(spectrum) + 1e-8)
    residual = log_amplitude - _smooth(log_amplitude, np.full(3, 1 / 3))
    saliency = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    return _smooth(saliency, np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2) / np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2).sum())


def _smooth(array: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    reach = len(kernel) // 2
    for axis in (0, 1):
        padded = np.pad(array, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        length = array.shape[axis]
        total = np.zeros(array.shape)
        for i, k in enumerate(kernel):
            total += k * np.take(padded, range(i, i + length), axis)
        array = total
    return array


def check_mode(mode: str) -> str:
    """The mode itself. Raises StudioError if there is no such crop."""
    if mode not in MODES:
        raise StudioError(f"There is no crop '{mode}'.", f"Choose one of {', '.join(MODES)}.")
    return mode

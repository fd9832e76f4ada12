"""Blending of a result with its source picture: by a strength, and with the colours of either."""

import numpy as np
from PIL import Image

from studio.imaging.srgb import linear_from_srgb, srgb_from_linear

_CHUNK_PIXELS = 1 << 20  # blended at a time, so that large pictures need little extra memory
_HALVINGS = 12  # of the interval in which the strongest displayable chroma lies
# From linear sRGB to the responses of the eye's cones, and from their cube roots to lightness and two opponent colours.
# Both: B. Ottosson, "A perceptual color space for image processing" (Oklab, 2020), the matrices for linear sRGB.
_CONES = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]],
    np.float32,
)
_OPPONENTS = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]],
    np.float32,
)
_CONES_BACK, _OPPONENTS_BACK = np.linalg.inv(_CONES), np.linalg.inv(_OPPONENTS)


_LINEAR = linear_from_srgb(np.arange(256) / 255).astype(np.float32)


def to_oklab(pixels: np.ndarray) -> np.ndarray:
    """Oklab of (..., 3) uint8 sRGB -> (..., 3) float32: lightness 0 (black) to 1 (white), then the axes green-red and blue-yellow."""
    return np.cbrt(_LINEAR[pixels] @ _CONES.T) @ _OPPONENTS.T


def from_oklab(lab: np.ndarray) -> np.ndarray:
    """Linear sRGB of (..., 3) Oklab -> (..., 3) float32, outside [0, 1] where a screen cannot show the colour."""
    return ((lab @ _OPPONENTS_BACK.T) ** 3 @ _CONES_BACK.T).astype(np.float32)


def blend(source: Image.Image, result: Image.Image, strength: float = 1.0, keep_colour: bool = False) -> Image.Image:
    """Blend a result with its source -> a picture of the mode and size of `result`.

    source, result: RGB or RGBA, of one size; transparency is that of `result`.
    strength: share of the result, 0 to 1, mixed in stored sRGB values as paint programs do.
    keep_colour: take only the lightness (Oklab) from the result, and the colour from the source. Where no screen can show a
    colour at that lightness, its chroma is reduced, at the same hue, until one can.
    """
    if strength == 1 and not keep_colour:
        return result
    old, new = np.asarray(source.convert("RGB")), np.array(result.convert("RGB"))
    rows = max(1, _CHUNK_PIXELS // new.shape[1])
    for top in range(0, len(new), rows):
        chunk = slice(top, top + rows)
        if keep_colour:
            new[chunk] = _recoloured(old[chunk], new[chunk])
        if strength < 1:
            new[chunk] = (old[chunk] * (1 - np.float32(strength)) + new[chunk] * np.float32(strength)).round()
    out = Image.fromarray(new)
    if result.mode == "RGBA":
        out.putalpha(result.getchannel("A"))
    return out


def _recoloured(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Lightness of `new` with the colours of `old`; all (H, W, 3) uint8."""
    lab = to_oklab(old)
    lab[..., 0] = to_oklab(new)[..., 0]
    rgb = from_oklab(lab)
    outside = ~_displayable(rgb)
    if outside.any():
        rgb[outside] = _reduce_chroma(lab[outside])
    rgb = rgb.clip(0, 1)
    return (srgb_from_linear(rgb) * 255).round().astype(np.uint8)


def _displayable(rgb: np.ndarray) -> np.ndarray:
    """Mask of the (..., 3) linear colours that a screen can show, with less than one level of tolerance."""
    return np.all((rgb > -1e-4) & (rgb < 1 + 1e-3), axis=-1)


def _reduce_chroma(lab: np.ndarray) -> np.ndarray:
    """The strongest displayable colours of the same lightness and hue: (N, 3) Oklab -> (N, 3) linear sRGB."""
    low, high = np.zeros((len(lab), 1), np.float32), np.ones((len(lab), 1), np.float32)
    grey = np.array([1, 0, 0], np.float32)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = _displayable(from_oklab(lab * np.where(grey, 1, middle)))[:, None]
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return from_oklab(lab * np.where(grey, 1, low))

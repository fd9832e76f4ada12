"""Colour grading: exposure, contrast, saturation, a palette and posterising, on pictures as a network gives them."""

import numpy as np
import torch

from studio.common.k_means import k_means
from studio.imaging.blending import from_oklab, to_oklab
from studio.imaging.srgb import linear_from_srgb, srgb_from_linear

_CURVE = 4096  # points of a curve, between which it is straight
_SAMPLED = 4096  # pixels that a palette is found from
_LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709


def tone_curve(exposure: float, contrast: float) -> np.ndarray:
    """Stored sRGB values after exposure and contrast, at 4096 equal steps of the values before: float32 in [0, 1].

    exposure: stops; each doubles the light.  contrast: factor of the distance from middle grey (0.5), in stored values.
    """
    light = linear_from_srgb(np.linspace(0, 1, _CURVE)) * 2.0**exposure
    return np.clip((srgb_from_linear(np.minimum(light, 1)) - 0.5) * contrast + 0.5, 0, 1).astype(np.float32)


def with_tones(x: torch.Tensor, exposure: float, contrast: float) -> torch.Tensor:
    """x in [0, 1] -> [0, 1], each value along `tone_curve`."""
    curve = torch.from_numpy(tone_curve(exposure, contrast)).to(x.device)
    place = x * (_CURVE - 1)
    below = place.long().clamp(0, _CURVE - 2)
    return curve[below].lerp(curve[below + 1], place - below)


def with_saturation(x: torch.Tensor, factor: float) -> torch.Tensor:
    """x: (N, 3, H, W) in [0, 1].  factor: of the distance from grey of the same luma (BT.709, stored values): 0 = grey, 1 = as it is."""
    luma = (x * x.new_tensor(_LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    return luma.lerp(x, factor).clamp(0, 1)


def posterised(x: torch.Tensor, levels: int) -> torch.Tensor:
    """x in [0, 1] -> the nearest of `levels` equally spaced values from 0 to 1."""
    return (x * (levels - 1)).round() / (levels - 1)


def with_palette(x: torch.Tensor, palette: np.ndarray, strength: float) -> torch.Tensor:
    """Every pixel drawn towards the palette's colour that looks nearest (Oklab).

    x: (N, 3, H, W) in [0, 1].  palette: (K, 3) uint8 sRGB.  strength: 0 = not at all, 1 = nothing but its colours.
    """
    pixels = (x.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy()
    nearest = _nearest(to_oklab(pixels).reshape(-1, 3), to_oklab(palette)).reshape(pixels.shape[:-1])
    colours = torch.from_numpy(palette[nearest]).to(x.device).permute(0, 3, 1, 2).float() / 255
    return x.lerp(colours, strength)


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the nearest centre (K, 3) of each point (P, 3)."""
    # |p - c|^2 without |p|^2, which is the same for all centres.
    return ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)


def palette_of(picture: np.ndarray, count: int = 8) -> np.ndarray:
    """The colours of a picture, (K, 3) uint8 with K <= `count`, the most frequent first: k-means in Oklab.

    picture: (H, W, 3) uint8 sRGB. One with no more than `count` colours keeps exactly these.
    """
    pixels = picture.reshape(-1, 3)
    pixels = pixels[np.linspace(0, len(pixels) - 1, min(len(pixels), _SAMPLED)).round().astype(int)]
    colours, frequency = np.unique(pixels, axis=0, return_counts=True)
    if len(colours) <= count:
        return colours[np.argsort(-frequency, kind="stable")]
    lab = to_oklab(pixels)
    labels = k_means(lab.astype(np.float64), count)
    middles = np.stack([lab[labels == k].mean(axis=0) for k in range(count) if (labels == k).any()])
    return np.round(srgb_from_linear(np.clip(from_oklab(middles), 0, 1)) * 255).astype(np.uint8)

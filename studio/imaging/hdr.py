"""High dynamic range video (PQ and HLG in BT.2020) toned down to sRGB."""

import numpy as np

HDR = {16: "pq", 18: "hlg"}  # transfer characteristics in ITU-T H.273
_WHITE = 203.0  # cd/m2 of white paper in HDR (ITU-R BT.2408, Sec. 2.2)
_HLG_PEAK = 1000.0  # cd/m2 of the screen that HLG is meant for (ITU-R BT.2100, Table 5)
_KNEE = 0.8  # of white: darker light stays as it is, brighter light is compressed below 1
# Linear BT.2020 to linear BT.709 (ITU-R BT.2087, Annex 2).
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
_ROWS = 64  # at a time, since floats take much memory


def pq_light(values: np.ndarray) -> np.ndarray:
    """Light in cd/m2 of PQ values in [0, 1] (SMPTE ST 2084, Sec. 5)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = values ** (1 / m2)
    return 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def hlg_light(values: np.ndarray) -> np.ndarray:
    """Light in cd/m2 of (..., 3) HLG values in [0, 1] on a screen of 1000 cd/m2 (ITU-R BT.2100, Table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    return _HLG_PEAK * luminance[..., None] ** 0.2 * scene


def sdr_pixels(pixels: np.ndarray, transfer: str) -> np.ndarray:
    """Pixels of a frame in BT.2020, (H, W, 3) uint16, as (H, W, 3) uint8 sRGB.

    transfer: 'pq' or 'hlg'.  Light up to 0.8 of the white of paper is kept; above, the strongest channel is compressed below 1, and
    the others with it, so that the hue stays.
    """
    out = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), _ROWS):
        values = pixels[top : top + _ROWS].astype(np.float32) / 65535
        light = (pq_light(values) if transfer == "pq" else hlg_light(values)) / _WHITE
        linear = np.maximum(light @ _TO_709.T, 0)
        peak = linear.max(axis=-1, keepdims=True)
        over = np.maximum(peak - _KNEE, 0)
        linear *= np.where(over > 0, (_KNEE + (1 - _KNEE) * over / (over + 1 - _KNEE)) / np.maximum(peak, 1e-6), 1)
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055)
        out[top : top + _ROWS] = (encoded.clip(0, 1) * 255).round().astype(np.uint8)
    return out

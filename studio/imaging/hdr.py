"""Colours of video and stills stated by numbers (CICP, ITU-T H.273): high dynamic range toned down to sRGB, wide gamuts converted to it."""

import numpy as np

from studio.imaging.srgb import linear_from_srgb, srgb_from_linear

# Chromaticities of the primaries (x, y), red, green and blue, by their number; the white point of all is D65 (H.273, Table 2).
_BT709, _BT2020 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)), ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_WIDE = {9: _BT2020, 12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))}  # 12: Display P3
_D65 = (0.3127, 0.3290)
WIDE = tuple(_WIDE)  # primaries that reach beyond sRGB
_UNSPECIFIED = 2
_SRGB = 13  # transfer characteristics
_SCREEN_GAMMA = 2.4  # of the light that a screen makes of other SDR (ITU-R BT.1886)
HDR = {16: "pq", 18: "hlg"}  # transfer characteristics in ITU-T H.273
_WHITE = 203.0  # cd/m2 of white paper in HDR (ITU-R BT.2408, Sec. 2.2)
_HLG_PEAK = 1000.0  # cd/m2 of the screen that HLG is meant for (ITU-R BT.2100, Table 5)
_KNEE = 0.8  # of white: darker light stays as it is, brighter light is compressed below 1
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


def is_beyond_srgb(primaries: int, transfer: int) -> bool:
    """Whether colours stated by these numbers need `sdr_pixels`."""
    return transfer in HDR or primaries in _WIDE


def sdr_pixels(pixels: np.ndarray, transfer: int, primaries: int = 9) -> np.ndarray:
    """RGB of a frame or still, (H, W, 3) uint16, as (H, W, 3) uint8 sRGB.

    transfer, primaries: numbers of H.273; other primaries than those of `WIDE` count as sRGB's, but HDR without a statement as BT.2020.
    HDR: light up to 0.8 of the white of paper is kept; above, the strongest channel is compressed below 1, and the others with it, so
    that the hue stays. SDR: the colours that sRGB has are kept, others go to its border.
    """
    hdr = HDR.get(transfer)
    matrix = _to_srgb(_WIDE.get(primaries, _BT2020 if hdr and primaries == _UNSPECIFIED else _BT709))
    out = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), _ROWS):
        values = pixels[top : top + _ROWS].astype(np.float32) / 65535
        if hdr is None:
            encoded = _encoded((_light(values, transfer) @ matrix.T).clip(0, 1), transfer)
        else:
            linear = np.maximum((pq_light(values) if hdr == "pq" else hlg_light(values)) / _WHITE @ matrix.T, 0)
            peak = linear.max(axis=-1, keepdims=True)
            over = np.maximum(peak - _KNEE, 0)
            linear *= np.where(over > 0, (_KNEE + (1 - _KNEE) * over / (over + 1 - _KNEE)) / np.maximum(peak, 1e-6), 1)
            encoded = _encoded(linear, _SRGB)
        out[top : top + _ROWS] = (encoded.clip(0, 1) * 255).round().astype(np.uint8)
    return out


def _light(values: np.ndarray, transfer: int) -> np.ndarray:
    """Linear light of SDR values, both in [0, 1]."""
    return linear_from_srgb(values) if transfer == _SRGB else values**_SCREEN_GAMMA


def _encoded(linear: np.ndarray, transfer: int) -> np.ndarray:
    """The inverse of `_light`: greys stay as they are."""
    return srgb_from_linear(linear) if transfer == _SRGB else linear ** (1 / _SCREEN_GAMMA)


def _to_srgb(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """(3, 3) matrix from linear RGB of some primaries to linear sRGB (SMPTE RP 177)."""
    return (np.linalg.inv(_to_xyz(_BT709)) @ _to_xyz(primaries)).astype(np.float32)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    columns = np.stack([[x / y, 1, (1 - x - y) / y] for x, y in primaries], 1)
    x, y = _D65
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])

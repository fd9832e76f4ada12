"""ICC profiles for tests, written out after ICC.1:2001-04, and the colours they mean by the formulas of their standards."""

import struct

import numpy as np

_D50 = (0.9642, 1.0, 0.8249)
# Chromaticities of the primaries (x, y): red, green, blue. All three have the white point D65.
_D65 = (0.3127, 0.3290)
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
ADOBE_GAMMA = 563 / 256


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def matrix(primaries) -> np.ndarray:
    """Linear RGB -> XYZ under D65, white having Y = 1 (Lindbloom)."""
    columns = np.stack([_xyz(*p) for p in primaries], 1)
    return columns * np.linalg.solve(columns, _xyz(*_D65))


def _adapted(xyz: np.ndarray) -> np.ndarray:
    """XYZ under D65 -> under D50 (Bradford)."""
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    scale = np.diag((cones @ _D50) / (cones @ _xyz(*_D65)))
    return np.linalg.inv(cones) @ scale @ cones @ xyz


def encoded_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light -> 8-bit sRGB, not rounded (IEC 61966-2-1)."""
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


def linear_srgb(values: np.ndarray) -> np.ndarray:
    """8-bit sRGB -> linear light."""
    values = np.asarray(values) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def meant(pixels: np.ndarray, primaries, linear) -> np.ndarray:
    """8-bit sRGB, not rounded, of (..., 3) stored values.  linear: stored value -> light."""
    to_srgb = np.linalg.inv(matrix(SRGB)) @ matrix(primaries)
    return encoded_srgb(linear(pixels) @ to_srgb.T)


def gamma(exponent: float):
    return lambda values: (np.asarray(values) / 255) ** exponent


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def _curve(linear) -> bytes:
    """A curve of 1024 points, or the exponent."""
    if isinstance(linear, (int, float)):
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(linear * 256)) + b"\0\0"
    points = (linear(np.linspace(0, 255, 1024)) * 65535).round().astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(points)) + points.tobytes()


def _profile(name: str, device: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = name.encode()
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + bytes(79)
    tags = {b"desc": described, b"wtpt": b"XYZ \0\0\0\0" + _fixed(*_D50), **tags}
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for key, data in tags.items():
        table += key + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    made = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s12s4s", 128 + len(table) + len(body), b"none", 0x02100000, device, space, pcs, made, b"acsp")
    return head + bytes(28) + _fixed(*_D50) + bytes(48) + table + body


def rgb_profile(primaries=SRGB, linear=1.0, name: str = "test") -> bytes:
    """Profile of an RGB space.  linear: exponent, or stored value 0..255 -> light."""
    tags = {}
    for key, xyz in zip((b"r", b"g", b"b"), _adapted(matrix(primaries)).T, strict=True):
        tags[key + b"XYZ"] = b"XYZ \0\0\0\0" + _fixed(*xyz)
        tags[key + b"TRC"] = _curve(linear)
    return _profile(name, b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(linear=1.8) -> bytes:
    """Profile of a grey space."""
    return _profile("grey", b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(linear)})


def cmyk_profile() -> bytes:
    """Profile of inks by a table of 2 points an ink (lut8Type): the sixteen mixtures of four dull inks on paper, in CIE Lab."""
    inks = {  # L*, a*, b* of paper and of single inks, roughly those of offset print
        "paper": (95, 0, -2), "c": (55, -37, -50), "m": (48, 74, -3), "y": (89, -5, 93), "k": (16, 0, 0),
    }  # fmt: skip
    paper, table = np.array(inks["paper"], float), b""
    for index in range(16):
        lab = paper.copy()
        for bit, ink in zip((8, 4, 2, 1), "cmyk", strict=True):
            if index & bit:
                full = np.array(inks[ink], float)
                lab = np.array([lab[0] * full[0] / paper[0], *(lab[1:] * 0.6 + full[1:] * 0.8)])
        table += bytes(int(v) for v in (lab[0] * 2.55, lab[1].clip(-128, 127) + 128, lab[2].clip(-128, 127) + 128))
    straight = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + straight * 4 + table + straight * 3
    return _profile("inks", b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})

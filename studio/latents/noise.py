"""Smooth noise over time: simplex noise on lines and circles, and closed ways through z made of it.

Each value is a function of its seed and place alone, so that any frame can be computed without those before it.
"""

import math

import numpy as np

_SKEW = (math.sqrt(3) - 1) / 2  # from the plane to the grid of squares whose halves are the triangles
_UNSKEW = (3 - math.sqrt(3)) / 6
_REACH = 0.5  # squared distance at which a corner of the grid no longer counts
_LARGEST = 0.01008021  # sum of the three corners' parts where all of them pull the strongest, found numerically
_OFFSET = 256.0  # circles of different seeds lie somewhere in so large a square


def hashed(*numbers: np.ndarray | int) -> np.ndarray:
    """Random numbers in [0, 1), each of its integers alone: SplitMix64's mixing function (Steele et al. 2014, Fig. 17), once for each.

    numbers: integer arrays or integers, broadcast together; at least one array.
    """
    x = np.uint64(0)
    with np.errstate(over="ignore"):
        for n in numbers:
            x = x + np.asarray(n).astype(np.int64).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            x = x ^ (x >> np.uint64(31))
    return np.asarray((x >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def simplex_noise(x: np.ndarray, y: np.ndarray, *seed: np.ndarray | int) -> np.ndarray:
    """Noise in [-1, 1] at points of the plane (Perlin 2001; Gustavson 2005), about one bump a unit; smooth, 0 on average.

    x, y and the integers of the seed are broadcast together. At each of the three corners of the triangle around a point stands a
    random gradient g of length 1; with d from the corner to the point its part is max(0, 1/2 - |d|^2)^4 (g . d).
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    i, j = np.floor(x + (x + y) * _SKEW), np.floor(y + (x + y) * _SKEW)
    back = (i + j) * _UNSKEW
    x0, y0 = x - (i - back), y - (j - back)
    lower = x0 > y0  # which of the two triangles of the square
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape, *(np.shape(s) for s in seed)))
    for k, (a, b) in enumerate(((0, 0), (lower.astype(np.int64), 1 - lower.astype(np.int64)), (1, 1))):
        dx, dy = x0 - a + k * _UNSKEW, y0 - b + k * _UNSKEW
        angle = 2 * np.pi * hashed(i + a, j + b, *seed)
        total += np.maximum(0, _REACH - dx * dx - dy * dy) ** 4 * (np.cos(angle) * dx + np.sin(angle) * dy)
    return total / _LARGEST


def noise_line(seed: int, position: np.ndarray) -> np.ndarray:
    """Noise in [-1, 1] along a straight line, about one bump a unit.  position: (N,)."""
    # Aslant, so that the line doesn't run along a side of the triangles.
    return simplex_noise(position * math.cos(0.5) + 0.25, position * math.sin(0.5) + 0.75, seed)


def noise_circle(seed: np.ndarray | int, part: np.ndarray, diameter: float, *more: np.ndarray | int) -> np.ndarray:
    """Noise in [-1, 1] along a circle; part 1 is part 0 to the bit.

    part: of the round.  diameter: about one bump a unit of the circumference.  seed, more: integers, broadcast with the part.
    """
    angle = 2 * np.pi * (np.asarray(part, np.float64) % 1.0)
    middle = (_OFFSET * hashed(seed, *more, k) for k in (1, 2))
    x, y = (m + diameter / 2 * f(angle) for m, f in zip(middle, (np.cos, np.sin), strict=True))
    return simplex_noise(x, y, seed, *more)


def z_on_loop(seed: int, z_dim: int, part: float, diameter: float) -> np.ndarray:
    """z (z_dim,) float32 on a closed way: each of its numbers is a noise of its own on a circle; part 1 is part 0 to the bit.

    Noise is not normal; z is scaled to length sqrt(z_dim), which that of N(0, 1) is on average, for a large z_dim.
    """
    values = noise_circle(seed, np.full(z_dim, part), diameter, np.arange(z_dim))
    return (values * math.sqrt(z_dim) / max(float(np.linalg.norm(values)), 1e-12)).astype(np.float32)

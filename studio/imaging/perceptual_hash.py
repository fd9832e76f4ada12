"""Perceptual hashes, to find pictures that look nearly the same: a 64-bit difference hash and a coarse grid of colours."""

from typing import NamedTuple

import numpy as np
from PIL import Image

DISTANCE = 4  # of 64 bits: re-encoding and resizing stay below, other pictures of the same thing mostly above
COLOUR = 12  # of 255 levels: re-encoding stays below, another colour of the same drawing is above


class PerceptualHash(NamedTuple):
    """Perceptual hash of a picture."""

    hash: int
    """64 bits: which of two neighbours in a row of a 9 x 8 grey picture is brighter (dHash, Krawetz 2013)."""
    colours: np.ndarray
    """(48,) uint8: the mean colours of 4 x 4 cells."""


def perceptual_hash(image: Image.Image | np.ndarray) -> PerceptualHash:
    """Perceptual hash of an RGB picture or of (H, W, 3) uint8. The shape of the picture does not matter."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    small = np.asarray(image.convert("RGB").resize((36, 32), Image.Resampling.BOX, reducing_gap=2.0), np.float32)
    grey = (small @ np.array([0.299, 0.587, 0.114], np.float32)).reshape(8, 4, 9, 4).mean((1, 3))
    # Half a level, so that noise in a flat area does not set bits.
    bits = np.diff(grey, axis=1) > 0.5
    colours = small.reshape(4, 8, 4, 9, 3).mean((1, 3)).round().astype(np.uint8)
    return PerceptualHash(int.from_bytes(np.packbits(bits).tobytes(), "big"), colours.reshape(-1))


def is_similar(a: PerceptualHash, b: PerceptualHash, distance: int = DISTANCE, colour: int = COLOUR) -> bool:
    """Whether two pictures look nearly the same: at most `distance` of 64 bits differ, and no cell differs by more than `colour` of
    255 levels in a channel."""
    return (a.hash ^ b.hash).bit_count() <= distance and int(np.abs(a.colours.astype(int) - b.colours).max()) <= colour


def similar_groups(found: list[PerceptualHash], distance: int = DISTANCE, colour: int = COLOUR) -> list[list[int]]:
    """Groups of pictures that look nearly the same: indices in ascending order, two or more per group.

    All of a group are similar to its first, so that a chain of small changes does not join pictures that look different.
    Exact; 20,000 pictures take about a second.
    """
    if not found:
        return []
    hashes = np.array([f.hash for f in found], np.uint64)
    colours = np.stack([f.colours for f in found]).astype(np.int16)
    free = np.ones(len(found), bool)
    out = []
    for i in range(len(found)):
        if not free[i]:
            continue
        near = np.flatnonzero(_bits(hashes[i + 1 :] ^ hashes[i]) <= distance) + i + 1
        near = near[free[near]]
        near = near[np.abs(colours[near] - colours[i]).max(1, initial=0) <= colour]
        if len(near):
            free[near] = False
            out.append([i, *near.tolist()])
    return out


_BITS_OF_16 = np.array([i.bit_count() for i in range(1 << 16)], np.uint8)


def _bits(values: np.ndarray) -> np.ndarray:
    """Number of set bits in each of (N,) uint64."""
    if hasattr(np, "bitwise_count"):  # from numpy 2 on
        return np.bitwise_count(values)
    return _BITS_OF_16[values.view(np.uint16).reshape(-1, 4)].sum(1)

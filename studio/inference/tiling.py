"""Tiles of a picture: their layout, and how their results are blended into one. Pure geometry: no tensors, no networks."""

from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """Pixels [top, bottom) x [left, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """Pixels."""
        return self.height * self.width

    def times(self, scale: int) -> "Box":
        """The same area in a picture `scale` times as large."""
        return Box(*(scale * edge for edge in self))

    def within(self, outer: "Box") -> "Box":
        """The same pixels, counted from the corner of `outer`."""
        return Box(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)


class Tile(NamedTuple):
    """A tile.  read: area that the network sees.  core: the part of it that counts; cores cover each pixel of the picture once."""

    read: Box
    core: Box


def plan_tiles(height: int, width: int, tile: int, overlap: int = 0, multiple: int = 1) -> list[list[Tile]]:
    """Plan the tiles of a picture, in rows.

    tile: maximum side of a core in pixels.  overlap: pixels read around it, except beyond the borders of the picture.
    multiple: cores and read areas begin at multiples of it, so that a network that downsamples sees the same grid in each tile
    as in the full picture; a smaller `tile` is rounded up to it.
    There are as few tiles as that allows, of similar size.
    """
    reach = -(-overlap // multiple) * multiple
    return [
        [
            Tile(
                Box(max(0, top - reach), max(0, left - reach), min(height, bottom + reach), min(width, right + reach)),
                Box(top, left, bottom, right),
            )
            for left, right in _cuts(width, tile, multiple)
        ]
        for top, bottom in _cuts(height, tile, multiple)
    ]


def _cuts(size: int, tile: int, multiple: int) -> list[tuple[int, int]]:
    """[begin, end) of the cores along one axis."""
    count = -(-size // max(multiple, tile // multiple * multiple))
    step = -(-size // (count * multiple)) * multiple
    return [(begin, min(size, begin + step)) for begin in range(0, size, step)]


def quarters(box: Box, multiple: int = 1) -> list[Box]:
    """Split a box into four, into two where one side cannot be halved at a multiple, or not at all where neither can."""
    y, x = ((low + high) // 2 // multiple * multiple for low, high in ((box.top, box.bottom), (box.left, box.right)))
    y, x = y if y > box.top else box.bottom, x if x > box.left else box.right
    rows, columns = ((box.top, y), (y, box.bottom)), ((box.left, x), (x, box.right))
    parts = [Box(top, left, bottom, right) for top, bottom in rows for left, right in columns]
    return [part for part in parts if part.area]


class Canvas:
    """A canvas that blends the results of tiles, one row of tiles at a time, and gives finished rows of pixels.

    Within `feather` pixels of a border between two cores both tiles count, with weights that sum to 1 and rise towards each
    core. Each tile therefore covers `drawn(core)`. Cores, except the last, must be at least twice the feather wide.
    """

    def __init__(self, height: int, width: int, channels: int, feather: int):
        self.height, self.width, self.channels, self.feather = height, width, channels, feather
        self._rows, self._top, self._bottom = np.zeros((0, width, channels), np.float32), 0, 0  # what is blended, from `top` on

    def drawn(self, core: Box) -> Box:
        """The core and the feathered border around it, within the picture."""
        f = self.feather
        return Box(max(0, core.top - f), max(0, core.left - f), min(self.height, core.bottom + f), min(self.width, core.right + f))

    def add(self, core: Box, pixels: np.ndarray) -> None:
        """Add a tile.  pixels: (h, w, channels) of drawn(core). Tiles must come row by row."""
        box = self.drawn(core)
        if len(self._rows) < box.bottom - self._top:
            begun = self._rows
            self._rows = np.zeros((box.bottom - self._top, self.width, self.channels), np.float32)
            self._rows[: len(begun)] = begun
        if not self.feather:
            self._rows[box.top - self._top :, box.left : box.right] = pixels
            self._bottom = core.bottom
            return
        down = self._shares(box.top, box.bottom, core.top, core.bottom, self.height)
        across = self._shares(box.left, box.right, core.left, core.right, self.width)
        self._rows[box.top - self._top :, box.left : box.right] += pixels * down[:, None, None] * across[None, :, None]
        self._bottom = core.bottom

    def finished(self) -> np.ndarray:
        """After a row of tiles: the next rows (n, width, channels) that no later tile changes."""
        end = self.height if self._bottom == self.height else self._bottom - self.feather
        done, self._rows = self._rows[: end - self._top], self._rows[end - self._top :].copy()
        self._top = end
        return done

    def _shares(self, begin: int, end: int, core_begin: int, core_end: int, size: int) -> np.ndarray:
        """Weights of this tile for the pixels [begin, end) along one axis."""
        at, ramp = np.arange(begin, end) + 0.5, 2 * max(self.feather, 1e-6)
        shares = np.ones(end - begin)
        if core_begin > 0:
            shares = np.minimum(shares, (at - core_begin) / ramp + 0.5)
        if core_end < size:
            shares = np.minimum(shares, (core_end - at) / ramp + 0.5)
        return shares.clip(0, 1).astype(np.float32)

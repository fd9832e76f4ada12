"""Where the tiles of a picture lie. Pure geometry: no tensor, no network."""

from typing import NamedTuple

from studio.errors import StudioError


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
        """The same place in a picture `scale` times as large."""
        return Box(*(scale * edge for edge in self))

    def within(self, outer: "Box") -> "Box":
        """The same pixels, counted from the corner of `outer`."""
        return Box(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)


class Tile(NamedTuple):
    """read: what the network sees.  core: what of it counts; the cores cover the picture, each pixel once."""

    read: Box
    core: Box


def plan_tiles(height: int, width: int, tile: int, overlap: int = 0, multiple: int = 1) -> list[Tile]:
    """Tiles of a picture, row by row.

    tile: the most pixels a side that is read, the overlap with it.  overlap: pixels read around the core; at the borders of
    the picture there are none to read.  multiple: the cores and what is read begin at multiples of it, so that a network
    which halves sees in each tile the grid it sees in the whole.
    Tiles are as few as that allows, and of like size.  Raises StudioError when a tile of that size holds no core.
    """
    reach = -(-overlap // multiple) * multiple
    rows, columns = _cuts(height, tile, reach, multiple), _cuts(width, tile, reach, multiple)
    return [
        Tile(
            Box(max(0, top - reach), max(0, left - reach), min(height, bottom + reach), min(width, right + reach)),
            Box(top, left, bottom, right),
        )
        for top, bottom in rows
        for left, right in columns
    ]


def _cuts(size: int, tile: int, reach: int, multiple: int) -> list[tuple[int, int]]:
    """[begin, end) of the cores along one axis."""
    if size <= tile:
        return [(0, size)]
    most = (tile - 2 * reach) // multiple * multiple
    if most < 1:
        raise StudioError(f"A tile of {tile} px has no room for an overlap of {reach} px.", f"Make it larger than {2 * reach + multiple} px.")
    count = -(-size // most)
    step = -(-size // (count * multiple)) * multiple
    return [(begin, min(size, begin + step)) for begin in range(0, size, step)]

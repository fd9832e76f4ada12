import numpy as np
import pytest

from studio.errors import StudioError
from studio.models.tiling import Box, plan_tiles


@pytest.mark.parametrize(
    "height, width, tile, overlap, multiple",
    [(200, 328, 96, 16, 4), (200, 328, 96, 0, 1), (1, 1, 32, 8, 1), (513, 40, 64, 5, 8), (97, 1000, 100, 33, 1), (64, 64, 64, 40, 4)],
)
def test_cores_cover_each_pixel_once_and_are_seen_with_their_surroundings(height, width, tile, overlap, multiple):
    seen = np.zeros((height, width), int)
    for read, core in plan_tiles(height, width, tile, overlap, multiple):
        seen[core.top : core.bottom, core.left : core.right] += 1
        assert max(read.height, read.width) <= tile
        for low, high, begin, end, size in (
            (read.top, read.bottom, core.top, core.bottom, height), (read.left, read.right, core.left, core.right, width),
        ):  # fmt: skip
            assert 0 <= low <= max(0, begin - overlap) and min(size, end + overlap) <= high <= size
            assert low % multiple == begin % multiple == 0
    assert (seen == 1).all()


def test_tiles_come_row_by_row_and_are_of_like_size():
    cores = [tile.core for tile in plan_tiles(100, 210, 50, 0)]
    assert [(c.top, c.left) for c in cores] == [(t, x) for t in (0, 50) for x in (0, 42, 84, 126, 168)]
    assert {(c.height, c.width) for c in cores} == {(50, 42)}


def test_a_tile_without_a_core_is_refused():
    with pytest.raises(StudioError, match="no room for an overlap"):
        plan_tiles(500, 500, 64, 32)
    assert len(plan_tiles(60, 60, 64, 32)) == 1, "a small picture needs none"


def test_boxes():
    box = Box(1, 2, 4, 7)
    assert (box.height, box.width, box.area) == (3, 5, 15) and box.times(2) == (2, 4, 8, 14) and box.within(Box(1, 1, 9, 9)) == (0, 1, 3, 6)

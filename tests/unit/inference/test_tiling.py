import itertools

import numpy as np
import pytest

from studio.inference.tiling import Box, Canvas, plan_tiles, quarters


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap", "multiple"),
    [
        (200, 328, 96, 16, 4),
        (200, 328, 96, 0, 1),
        (1, 1, 32, 8, 1),
        (513, 40, 64, 5, 8),
        (97, 1000, 100, 33, 1),
        (64, 64, 64, 40, 4),
        (10, 50, 2, 3, 4),
    ],
)
def test_cores_cover_each_pixel_once_and_are_seen_with_their_surroundings(height, width, tile, overlap, multiple):
    seen = np.zeros((height, width), int)
    for read, core in itertools.chain(*plan_tiles(height, width, tile, overlap, multiple)):
        seen[core.top : core.bottom, core.left : core.right] += 1
        assert max(core.height, core.width) <= max(tile, multiple)
        for low, high, begin, end, size in (
            (read.top, read.bottom, core.top, core.bottom, height),
            (read.left, read.right, core.left, core.right, width),
        ):
            assert 0 <= low <= max(0, begin - overlap)
            assert min(size, end + overlap) <= high <= size
            assert low % multiple == begin % multiple == 0
    assert (seen == 1).all()


def test_tiles_come_row_by_row_and_are_of_like_size():
    cores = [tile.core for row in plan_tiles(100, 210, 50) for tile in row]
    assert [(c.top, c.left) for c in cores] == [(t, x) for t in (0, 50) for x in (0, 42, 84, 126, 168)]
    assert {(c.height, c.width) for c in cores} == {(50, 42)}


def test_quarters_cover_a_box():
    for box, multiple, count in (
        (Box(0, 0, 8, 8), 1, 4),
        (Box(4, 8, 5, 20), 1, 2),
        (Box(4, 8, 12, 12), 4, 2),
        (Box(0, 0, 4, 4), 4, 1),
        (Box(3, 3, 4, 4), 1, 1),
    ):
        parts = quarters(box, multiple)
        seen = np.zeros((20, 20), int)
        for part in parts:
            seen[part.top : part.bottom, part.left : part.right] += 1
            assert part.top % multiple == 0 or part.top == box.top
        assert len(parts) == count
        assert seen.sum() == box.area == seen[box.top : box.bottom, box.left : box.right].sum()
        assert seen.max() == 1


@pytest.mark.parametrize("feather", [0, 1, 5])
@pytest.mark.parametrize(
    ("height", "width", "side", "multiple"), [(40, 64, 16, 1), (37, 29, 12, 1), (5, 90, 30, 1), (16, 16, 16, 1), (37, 38, 12, 4)]
)
def test_what_is_cut_is_put_together_again(feather, height, width, side, multiple):
    picture = np.random.default_rng(0).random((height, width, 2), np.float32)
    canvas, rows = Canvas(height, width, 2, feather), []
    for row in plan_tiles(height, width, side, 0, multiple):
        for tile in row:
            box = canvas.drawn(tile.core)
            canvas.add(tile.core, picture[box.top : box.bottom, box.left : box.right])
        rows.append(canvas.finished())
    np.testing.assert_allclose(np.concatenate(rows), picture, atol=1e-6)


def test_between_two_tiles_one_fades_into_the_other():
    canvas = Canvas(4, 20, 1, 3)
    for i, tile in enumerate(plan_tiles(4, 20, 10)[0]):
        canvas.add(tile.core, np.full((4, canvas.drawn(tile.core).width, 1), i, np.float32))
    out = canvas.finished()[0, :, 0]
    assert (out[:7] == 0).all()
    assert (out[13:] == 1).all()
    np.testing.assert_allclose(out[7:13], (np.arange(6) + 0.5) / 6, atol=1e-6)


def test_boxes():
    box = Box(1, 2, 4, 7)
    assert (box.height, box.width, box.area) == (3, 5, 15)
    assert box.times(2) == (2, 4, 8, 14)
    assert box.within(Box(1, 1, 9, 9)) == (0, 1, 3, 6)

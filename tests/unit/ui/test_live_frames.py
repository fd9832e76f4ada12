"""Frames of the live channel: their form, and a fineness that follows what the connection carries."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from studio.provenance.inspect import inspect_file
from studio.ui.live.frames import Fineness, frame, still


def picture(side: int) -> np.ndarray:
    return np.asarray(Image.effect_noise((side, side), 60).convert("RGB"))


def test_a_frame_is_a_header_and_a_picture():
    data = frame({"n": 3, "still": False}, b"picture")
    length = int.from_bytes(data[:4], "little")
    assert json.loads(data[4 : 4 + length]) == {"n": 3, "still": False}
    assert data[4 + length :] == b"picture"


def test_a_still_is_exact_and_labelled(tmp_path):
    shown = picture(300)
    (tmp_path / "still.webp").write_bytes(still(shown))
    with Image.open(tmp_path / "still.webp") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), shown)
    assert inspect_file(tmp_path / "still.webp").by_ai


def test_a_slow_connection_gets_coarser_then_smaller_frames_and_a_quick_one_fine_ones_again():
    fineness, shown, sizes = Fineness(), picture(512), []
    for seconds in [0.3] * 6:
        sizes.append(len(fineness.jpeg(shown)))
        fineness.took(seconds)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 3
    with Image.open(io.BytesIO(fineness.jpeg(shown))) as image:
        assert image.size == (256, 256)
    for _ in range(100):
        fineness.took(0.01)
    assert len(fineness.jpeg(shown)) == sizes[0]


@pytest.mark.parametrize("side", [32, 256, 300])
def test_small_pictures_are_never_shrunk(side):
    fineness = Fineness(shrink=4)
    with Image.open(io.BytesIO(fineness.jpeg(picture(side)))) as image:
        assert image.size == (side, side)
